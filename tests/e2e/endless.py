"""A model that never finishes, for runs that are killed."""


def reply(messages):
    return "```python\nprint('still here')\n```"


def act_for_ever(messages):
    return "```python\nwhile True: pass\n```"
