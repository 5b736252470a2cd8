# %%
import json
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

print(Path("pipeline.py").read_text())
train, new = pd.read_csv("train.csv"), pd.read_csv("new.csv")
print(train.shape, new.shape, "failures:", train["fails"].mean(), "pumps in both:", len(set(train["pump"]) & set(new["pump"])))

# %%
# A column that was completed afterwards tells the target by itself, and looks different in the rows whose future isn't known.
readings = ["weeks_since_repair", "load", "vibration", "temperature", "alarms", "crew_hours", "parts_cost"]
alone = {name: roc_auc_score(train["fails"], train[name].fillna(3)) for name in readings}
shift = {name: (new[name].mean() - train[name].mean()) / train[name].std() for name in readings}
tails = {name: new[name].quantile(0.99) / train[name].quantile(0.99) for name in readings}
print(pd.DataFrame({"AUC alone": alone, "shift of the mean": shift, "tail new / train": tails}).round(2))

# %%
# crew_hours and parts_cost are the leaks among the columns. Of the steps, 5 looks four weeks ahead, 6 and 7 use the target of the rows
# they are tested on, 8 puts copies of a row on both sides, 9 tests on pumps and weeks whose neighbours it trained on. The others look
# only at a row and its past.
# What remains, with whole pumps held out and only what is known in the week:


def known(table):
    table = table[["pump", "week", *readings]].reset_index().sort_values(["pump", "week"])
    pump = table.groupby("pump")
    table["vibration"] = pump["vibration"].ffill().fillna(3.0)
    for column in ("vibration", "temperature", "alarms"):
        past = table.groupby("pump")[column]
        table[f"past_{column}"] = past.transform(lambda s: s.rolling(6, min_periods=1).mean())
    wanted = ["weeks_since_repair", "load", "vibration", "temperature", "alarms", "past_vibration", "past_temperature", "past_alarms"]
    return table.set_index("index").sort_index()[wanted]


x, y = known(train), train["fails"]
candidates = {
    "boosting": HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, min_samples_leaf=50, max_depth=3, random_state=0),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
}
folds = GroupKFold(5)
honest = {
    name: roc_auc_score(y, cross_val_predict(model, x, y, groups=train["pump"], cv=folds, method="predict_proba")[:, 1])
    for name, model in candidates.items()
}
print(honest)

# %%
best = max(honest, key=honest.get)
probability = candidates[best].fit(x, y).predict_proba(known(new))[:, 1]
pd.DataFrame({"id": new["id"], "probability": probability}).to_csv("handin/predictions.csv", index=False)
findings = {
    "leaking_columns": ["crew_hours", "parts_cost"],
    "leaking_steps": ["step_5", "step_6", "step_7", "step_8", "step_9"],
    "expected_auc": round(honest[best], 3),
}
Path("handin/findings.json").write_text(json.dumps(findings, indent=2))
print(findings)
