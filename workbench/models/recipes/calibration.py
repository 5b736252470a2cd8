# %%
# One temperature for all scores, chosen by the log loss: how much less sure a classifier should have been.
import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

train, test = pd.read_csv(OPTIONS["train"]), pd.read_csv(OPTIONS["test"])
scores = [column for column in test.columns if column.startswith(OPTIONS["scores"])]
classes = [column.removeprefix(OPTIONS["scores"]) for column in scores]
right = train[OPTIONS["target"]].astype(str).map(classes.index).to_numpy()
print(train.shape, test.shape, classes)


# %%
def loss(log_temperature):
    logarithms = log_softmax(train[scores].to_numpy() / np.exp(log_temperature), axis=1)
    return -logarithms[np.arange(len(train)), right].mean()


found = minimize_scalar(loss, bounds=(-3, 6), method="bounded")
print("temperature:", np.exp(found.x), "log loss:", loss(0.0), "->", found.fun)

# %%
probabilities = np.exp(log_softmax(test[scores].to_numpy() / np.exp(found.x), axis=1))
submission = pd.DataFrame(probabilities, columns=[OPTIONS["column"] + name for name in classes])
submission.insert(0, OPTIONS["id"], test[OPTIONS["id"]])
submission.to_csv(OPTIONS["submission"], index=False)
print(submission.head())
