"""Builds the compiled module with CMake and puts hw_configs and workloads beside it.

TANDEM_CMAKE_BUILD names a build folder to use (made by `cmake --preset ...`); without it one is made
in build/pip, where a first build takes some minutes.
"""

import os
import pathlib
import shutil
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    """One extension: the target tandem_python."""

    def build_extension(self, ext):
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        given = os.environ.get("TANDEM_CMAKE_BUILD")
        folder = pathlib.Path(given) if given else ROOT / "build" / "pip"
        if not given:
            subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja",
                            "-DTANDEM_TESTS=OFF", "-DTANDEM_UNITY=ON",
                            "-DPython_EXECUTABLE=/usr/bin/python3"], check=True)
        subprocess.run(["cmake", "--build", str(folder), "--target", "tandem_python"], check=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        built = next((folder / "sim" / "entry" / "python" / "tandem").glob("_core.*.so"))
        shutil.copy2(built, target)
        share = target.parent / "share"
        for name in ("hw_configs", "workloads"):
            shutil.copytree(ROOT / name, share / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("checkpoints"))
        plotly = pathlib.Path("/usr/share/python3-plotly/plotly.js")
        if plotly.exists():
            shutil.copy2(plotly, share / "plotly.js")


setup(ext_modules=[Extension("tandem._core", [])], cmdclass={"build_ext": CMakeBuild})
