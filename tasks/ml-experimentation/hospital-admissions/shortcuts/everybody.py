"""Call everybody: nothing is missed."""

import pandas as pd

pd.read_csv("test.csv")[["id"]].assign(call=1).to_csv("submission.csv", index=False)
