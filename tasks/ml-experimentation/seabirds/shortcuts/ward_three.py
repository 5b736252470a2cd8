"""Put the measurements on one scale and let Ward's linkage make three groups, since three species of penguins are what one remembers."""

import pandas as pd
from sklearn.cluster import AgglomerativeClustering
from sklearn.preprocessing import StandardScaler

birds = pd.read_csv("birds.csv")
groups = AgglomerativeClustering(3).fit_predict(StandardScaler().fit_transform(birds.drop(columns=["id", "sex"])))
pd.DataFrame({"id": birds["id"], "group": groups}).to_csv("submission.csv", index=False)
