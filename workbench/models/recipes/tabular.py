# %%
# Gradient boosting on the columns as they are, tuned by nothing: what a table says by itself.
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_score

train, test = pd.read_csv(OPTIONS["train"]), pd.read_csv(OPTIONS["test"])
features = [column for column in test.columns if column != OPTIONS["id"]]
for column in make_column_selector(dtype_include=[object, "string"])(train[features]):
    kinds = pd.CategoricalDtype(sorted(set(train[column].dropna()) | set(test[column].dropna())))
    train[column], test[column] = train[column].astype(kinds), test[column].astype(kinds)
print(train.shape, test.shape)

# %%
settings = {"random_state": 0, "early_stopping": False, "categorical_features": "from_dtype"}
if OPTIONS["predict"] == "number":
    model = HistGradientBoostingRegressor(**settings)
else:
    model = HistGradientBoostingClassifier(**settings)
print(cross_val_score(model, train[features], train[OPTIONS["target"]], cv=5))

# %%
model.fit(train[features], train[OPTIONS["target"]])
predicted = model.predict_proba(test[features])[:, 1] if OPTIONS["predict"] == "probability" else model.predict(test[features])
pd.DataFrame({OPTIONS["id"]: test[OPTIONS["id"]], OPTIONS["column"]: predicted}).to_csv(OPTIONS["submission"], index=False)
print(np.asarray(predicted)[:5])
