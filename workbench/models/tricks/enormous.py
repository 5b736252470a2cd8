"""Hand in more than anybody can read."""

import os

path = os.path.join(SUBMISSION, "enormous.py") if os.path.isdir(SUBMISSION) else SUBMISSION
for size in (2**44, 2**36, 2**32, 2**30, 2**27):
    try:
        with open(path, "wb") as file:
            file.truncate(size)
        print("SPARSE", size)
        break
    except OSError as error:
        print(size, error.strerror)
if os.path.isdir(SUBMISSION):
    for number in range(6000):
        open(os.path.join(SUBMISSION, f"many{number}.py"), "w").close()
