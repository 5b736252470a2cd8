"""Group the birds of birds.csv: print how large the groups are, and write submission.csv."""

import pandas as pd
from sklearn.cluster import KMeans

GROUPS = 3


def main():
    birds = pd.read_csv("birds.csv")
    measured = birds.drop(columns=["id", "sex"])
    groups = KMeans(GROUPS, n_init=10, random_state=0).fit_predict(measured)
    submission = pd.DataFrame({"id": birds["id"], "group": groups})
    print(submission["group"].value_counts().to_dict())
    submission.to_csv("submission.csv", index=False)


if __name__ == "__main__":
    main()
