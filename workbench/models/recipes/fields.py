# %%
# One regular expression a field, which knows one way of writing it; a text written in another way leaves the field empty.
import pandas as pd

reports = pd.read_csv(OPTIONS["table"])
print(reports[OPTIONS["text"]].head().to_list())

# %%
facts = reports[[OPTIONS["key"]]].copy()
for name, pattern in OPTIONS["fields"].items():
    facts[name] = reports[OPTIONS["text"]].str.extract(pattern, expand=False)
print(facts.notna().mean())
facts.to_csv(OPTIONS["submission"], index=False)
