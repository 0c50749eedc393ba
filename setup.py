"""The compiled core; everything else about the package is in setup.cfg."""

import os
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# The interpreter's own link line may name folders of the machine that built it (an rpath): not for a wheel.
os.environ.setdefault("LDSHARED", f"{os.environ.get('CC') or sysconfig.get_config_var('CC')} -shared")

FLAGS = ["-O3", "-g0", "-std=gnu11", "-pthread"]  # -g0: no folders of the build
cores = [
    Extension(
        f"dolphin_mp.ipc.{name}",
        [f"dolphin_mp/ipc/{name}.pyx"],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
    )
    for name in sorted(path.stem for path in Path("dolphin_mp/ipc").glob("_*.pyx"))
]
setup(ext_modules=cythonize(cores, language_level=3, build_dir="build"))
