"""The only writer of crowd information: time slices, released before they are stored."""

from actors.statistics.actor import Statistics
from actors.statistics.reading import StatisticsView
from actors.statistics.settings import StatisticsSettings
from actors.statistics.store import StatisticsStore

__all__ = ["Statistics", "StatisticsSettings", "StatisticsStore", "StatisticsView"]
