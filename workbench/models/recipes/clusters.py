# %%
# K-means on standardised numbers, with as many clusters as are told apart best: what a table of unlabelled numbers says by itself.
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

table = pd.read_csv(OPTIONS["table"])
numbers = table.drop(columns=OPTIONS["id"]).select_dtypes("number")
X = StandardScaler().fit_transform(numbers.fillna(numbers.median()))
print(table.shape, list(numbers.columns))

# %%
found = {count: KMeans(count, n_init=10, random_state=0).fit_predict(X) for count in range(2, 11)}
scores = {count: silhouette_score(X, labels) for count, labels in found.items()}
print(scores)

# %%
labels = found[max(scores, key=scores.get)]
pd.DataFrame({OPTIONS["id"]: table[OPTIONS["id"]], OPTIONS["column"]: labels}).to_csv(OPTIONS["submission"], index=False)
print(pd.Series(labels).value_counts().to_dict())
