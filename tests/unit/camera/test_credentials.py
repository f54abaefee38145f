from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from actors.camera.actor import CameraSettings
from actors.camera.credentials import CredentialFile, CredentialTrouble
from actors.camera.link import CameraLink
from runtime import SourceAddress


def written(folder: Path, content: bytes, mode: int = 0o600) -> CredentialFile:
    path = folder / "camera.secret"
    path.write_bytes(content)
    path.chmod(mode)
    return CredentialFile.from_text("camera.secret", folder)


@pytest.mark.parametrize("password", ["tr33house", "a/b?c#d@e:f%g", "", "密码"])
def test_whatever_a_password_holds(password: str, tmp_path: Path) -> None:
    found = written(tmp_path, f"viewer:{password}\n".encode())
    parts = urlsplit(f"rtsp://{found.read()}camera:8554/1")
    assert (parts.username, unquote(parts.password or "")) == ("viewer", password)
    assert (parts.hostname, parts.port) == ("camera", 8554)
    assert "viewer" not in repr(found)


@pytest.mark.parametrize(
    "content", [b"", b"viewer", b":password", b"a:b\nc:d\n", b"\xff\xfe:x", b"a:" + b"x" * 2000]
)
def test_what_is_no_credentials(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CredentialTrouble, match="USER:PASSWORD") as refused:
        written(tmp_path, content).read()
    assert "password" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_mode_that_lets_others_in(mode: int, tmp_path: Path) -> None:
    with pytest.raises(CredentialTrouble, match=f"mode {mode:04o}.*chmod 600"):
        written(tmp_path, b"viewer:tr33house\n", mode).read()


def test_none_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialTrouble, match="No such file"):
        CredentialFile.from_text("nothing", tmp_path).read()


def test_what_systemd_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets access lists, which show in the mode as the group's."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    written(tmp_path, b"viewer:tr33house", 0o440)
    assert CredentialFile.from_text("systemd:camera.secret", Path("/etc")).read().startswith("view")
    for name in ("systemd:", "systemd:..", "systemd:a/b"):
        with pytest.raises(ValueError, match="systemd:camera-1"):
            CredentialFile.from_text(name, Path("/etc"))


def test_the_camera_may_read_that_file_and_no_other(tmp_path: Path) -> None:
    found = written(tmp_path, b"viewer:tr33house")
    settings = CameraSettings(source=SourceAddress("rtsp://camera/1"), credentials=found)
    assert CameraLink.reach(settings).read == (tmp_path / "camera.secret",)
    with pytest.raises(ValueError, match="rtsp"):
        CameraSettings(source=SourceAddress("file:/film.mp4"), credentials=found)
