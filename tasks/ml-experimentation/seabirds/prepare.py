"""Take the measurements of Palmer's penguins without what tells the species, in an order of our own."""

import sysconfig
from pathlib import Path

import numpy as np
import pandas as pd

# Not imported: only its data are wanted.
PENGUINS = Path(sysconfig.get_path("purelib")) / "palmerpenguins/data/penguins.csv"
SEED = 518_230_947
MEASURED = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def main() -> None:
    # Two birds were not measured at all. The island would tell one species from the others, and the file is sorted by species.
    birds = pd.read_csv(PENGUINS).dropna(subset=MEASURED)
    order = np.random.default_rng(SEED).permutation(len(birds))
    birds = birds.iloc[order].reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    birds[[*MEASURED, "sex"]].to_csv(workspace / "birds.csv")
    birds[["species"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
