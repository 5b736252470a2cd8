"""Writing HTML."""

import html
import string

from stocktake.texts import WIDTH, shorten
from stocktake.writers import Writer


class Escaping(string.Formatter):
    """A formatter whose fields are escaped."""

    def convert_field(self, value, conversion):
        return html.escape(str(super().convert_field(value, conversion)))

    def unescape(self, value):
        return html.unescape(value)


class HtmlWriter(Writer):
    template = "<tr><td>{item.name}</td><td>{item.total}</td></tr>"

    def line(self, item):
        return Escaping().format(self.template, item=item)

    def header(self):
        return ["<table>"]

    def footer(self, items):
        return ["</table>"]

    def caption(self, text):
        return f"<caption>{shorten(text, WIDTH)}</caption>"
