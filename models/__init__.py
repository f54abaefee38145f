"""What the pole's models are, how they get here, and what they may say about a picture.

Counts people and estimates three attributes of a face; never tells persons apart (guideline clause
4.2(2)). The manifest lists every model with source, hash and allowed outputs; the store hands out
verified bytes; detectors turn pictures into boxes and estimates. Nothing here knows the rest of the
pole. Fetching (`models.fetch`) is apart, since only set-up needs it.
"""

from models.arena import Arena
from models.attributes import AttributeEstimator, FaceAttributes, Gender, Mask
from models.errors import ModelError
from models.face import Face, FaceDetector
from models.finder import PeopleFinder, Search
from models.geometry import Box
from models.manifest import Manifest, ModelSpec, OutputKind, shipped_manifest
from models.people import PersonSeen, fuse
from models.person import Person, PersonDetector
from models.scratch import Allocate
from models.session import Provider, Session, open_session
from models.store import ModelState, ModelStore, Presence

__all__ = [
    "Allocate",
    "Arena",
    "AttributeEstimator",
    "Box",
    "Face",
    "FaceAttributes",
    "FaceDetector",
    "Gender",
    "Manifest",
    "Mask",
    "ModelError",
    "ModelSpec",
    "ModelState",
    "ModelStore",
    "OutputKind",
    "PeopleFinder",
    "Person",
    "PersonDetector",
    "PersonSeen",
    "Presence",
    "Provider",
    "Search",
    "Session",
    "fuse",
    "open_session",
    "shipped_manifest",
]
