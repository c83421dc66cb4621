"""C source seen from outside: text without comments and strings, and where functions begin and end."""
import re

TOKEN = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def strip(text, keep_strings=False):
    """Comments, and unless asked strings, become blanks; line numbers stay."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'" and keep_strings:
            return token
        return token[0] + token[-1] if token[0] in "\"'" else "\n" * token.count("\n") or " "
    return TOKEN.sub(blank, text)


def functions(text):
    """(name, first line, length in lines) of each function, from its first line to its closing brace."""
    depth, first, head = 0, 0, ""
    name = None
    for number, line in enumerate(strip(text).split("\n"), 1):
        if depth == 0 and (not line.strip() or line.startswith("#")):
            head = ""
            continue
        if depth == 0:
            first = first if head else number
            head += line + "\n"
            name = function_name(head)
        depth = max(0, depth + line.count("{") - line.count("}"))
        if depth == 0 and line.rstrip().endswith((";", "}")):
            if name:
                yield name, first, number - first + 1
            head, name = "", None


def function_name(head):
    """Of what stands before a body: a parameter list comes before the brace, and no initialiser."""
    match = re.match(r"[^{=;]*?(\w+)\s*\([^{=;]*\)\s*\{", head)
    return match.group(1) if match else None
