"""Run a task's own preparation script in the folder it fills. Started by ``launch.py`` as ``prepare.py SCRIPT TASK``.

The script finds its task's folder as ``sys.argv[2]``.
"""

import runpy
import sys

sys.dont_write_bytecode = True
runpy.run_path(sys.argv[1], run_name="__main__")
