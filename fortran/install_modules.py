"""Copies the compiled Fortran module files of the library to the include folder (meson does not install them)."""

import os
import shutil
import sys
from pathlib import Path

library, folder = Path(sys.argv[1]), sys.argv[2]
private = library.with_name(library.name + ".p")
target = Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"]) / folder
target.mkdir(parents=True, exist_ok=True)
for module in private.glob("*.mod"):
    shutil.copy2(module, target / module.name)
