"""Hand in what one would guess without a single training: tanh, a cosine schedule, momentum, and the epochs that the budget leaves."""

import json
from pathlib import Path

import trainer

config = {"activation": "tanh", "schedule": "cosine", "weight_decay": 1e-6, "momentum": 0.9, "layers": 2, "width": 32, "batch": 32}
config |= {"learning_rate": 0.1, "epochs": 1}
config["epochs"] = trainer.BUDGET // trainer.cost(config, 2000, 5)
Path("config.json").write_text(json.dumps(config))
print(config)
