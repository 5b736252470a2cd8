"""Tell the species by thresholds on bill and flipper as one remembers them of these birds."""

import numpy as np
import pandas as pd

birds = pd.read_csv("birds.csv")
gentoo = (birds["flipper_length_mm"] > 205) & (birds["bill_depth_mm"] < 17.5)
group = np.where(gentoo, "Gentoo", np.where(birds["bill_length_mm"] > 44, "Chinstrap", "Adelie"))
pd.DataFrame({"id": birds["id"], "group": group}).to_csv("submission.csv", index=False)
