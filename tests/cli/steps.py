"""A model whose first action never shows the same twice."""


def unsteady(messages):
    if len(messages) > 2:
        return "<done/>"
    return "```python\nimport uuid\nprint(uuid.uuid4())\n```"
