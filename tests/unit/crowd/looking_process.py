"""A process that looks at every picture of a film, and then waits while its memory is searched.

``python looking_process.py FILM MODELS erase|keep [drop]``
"""

from __future__ import annotations

import resource
import sys
import threading
from pathlib import Path

import msgspec

from actors.crowd.actor import CrowdSettings
from actors.crowd.counting import InferenceModels, PeopleCounter
from actors.crowd.decoder import PictureDecoder
from actors.crowd.memory import PictureMemory
from runtime import Authority
from runtime.memory import share_one_heap
from tests.cameras import packets_of


def main(film: str, models: str, erasing: str, dropping: str = "") -> None:
    share_one_heap()
    PictureMemory.erases = erasing == "erase"
    settings = CrowdSettings(models=Path(models))

    def authority(prepared: object) -> Authority:
        return Authority._mint(
            actor="crowd", folder=None, settings=settings, facts={}, prepared=prepared
        )

    prepared = InferenceModels.prepare(authority(None))
    packets = packets_of(Path(film))
    # From here on no file can be opened, as in a confined domain.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    granted = InferenceModels._mint(authority(prepared))
    memory = PictureMemory()
    counter = PeopleCounter(granted, providers=("cpu",), threads=1, memory=memory)
    decoder = PictureDecoder(interval=0, width=768, threads=1, memory=memory)

    def look() -> None:
        people = 0
        kept = []
        for packet in packets:
            for picture in decoder.feed(packet):
                try:
                    people += sum(cell.people for cell in counter.count(picture.rgb))
                finally:
                    if erasing == "keep":
                        kept.append(picture.rgb)
                    picture.erase()
        if dropping:
            lost = msgspec.structs.replace(packets[-1], session=2, key=False)
            assert not list(decoder.feed(lost))
        print(people, flush=True)
        sys.stdin.readline()

    worker = threading.Thread(target=look)
    worker.start()
    worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
