"""Run a task's own preparation script in the folder it fills. Started by ``launch.py`` as ``prepare.py SCRIPT``."""

import runpy
import sys

sys.dont_write_bytecode = True
runpy.run_path(sys.argv[1], run_name="__main__")
