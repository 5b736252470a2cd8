# %%
# Words and pairs of words, weighted by how rare they are, and logistic regression: what texts say by the words in them.
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

train, test = (pd.read_csv(OPTIONS[name], keep_default_na=False) for name in ("train", "test"))
texts, target = train[OPTIONS["text"]], train[OPTIONS["target"]]
print(train.shape, test.shape, target.value_counts().to_dict())

# %%
model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000))
print(cross_val_score(model, texts, target, cv=3))

# %%
predicted = model.fit(texts, target).predict(test[OPTIONS["text"]])
pd.DataFrame({OPTIONS["id"]: test[OPTIONS["id"]], OPTIONS["column"]: predicted}).to_csv(OPTIONS["submission"], index=False)
print(predicted[:10])
