# %%
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

print(Path("train.py").read_text())
train, test = (pd.read_csv(name, keep_default_na=False) for name in ("train.csv", "test.csv"))
print(train.groupby("country")["name"].apply(lambda names: ", ".join(names.head(5))).to_string())

# %%
# Hardly a word occurs twice, so words say nothing. Their beginnings, ends and parts do.
words = CountVectorizer().fit(train["name"]).vocabulary_
tokens = test["name"].str.findall(r"\w\w+").explode().str.lower()
print("words of the test names that occur in training:", tokens.isin(list(words)).mean())

# %%
candidates = {
    "words, naive Bayes": make_pipeline(CountVectorizer(), MultinomialNB()),
    "letters, naive Bayes": make_pipeline(CountVectorizer(analyzer="char"), MultinomialNB()),
}
for longest in (3, 4, 5):
    parts = {"analyzer": "char_wb", "ngram_range": (1, longest)}
    candidates[f"parts to {longest}, naive Bayes"] = make_pipeline(CountVectorizer(**parts), MultinomialNB(alpha=0.1))
    candidates[f"parts to {longest}, linear SVM"] = make_pipeline(TfidfVectorizer(**parts, sublinear_tf=True), LinearSVC(C=0.5))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
scores = pd.Series({name: cross_val_score(model, train["name"], train["country"], cv=folds).mean() for name, model in candidates.items()})
print(scores.round(3).sort_values())

# %%
model = candidates[scores.idxmax()].fit(train["name"], train["country"])
submission = pd.DataFrame({"id": test["id"], "country": model.predict(test["name"])})
submission.to_csv("submission.csv", index=False)
print(submission["country"].value_counts().to_dict())
