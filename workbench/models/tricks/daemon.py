"""Leave a process behind that tries to outlive the kernel and write the submission later."""

import subprocess
import sys

CODE = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
for _ in range(600):
    time.sleep(0.1)
    try:
        open(sys.argv[1], "a").write("forged")
    except OSError:
        pass
"""
for _ in range(2):
    subprocess.Popen([sys.executable, "-c", CODE, SUBMISSION], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
