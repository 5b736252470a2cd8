"""A model that fails."""


def reply(messages):
    raise RuntimeError("no model here")
