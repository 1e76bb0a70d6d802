"""The grammar of filters: AIP-160, less functions and words that are searched for in every field.

OR binds tighter than AND: ``a AND b OR c`` is ``a AND (b OR c)``. The lexer looks for a terminal only where the
grammar can use it, so that a value may hold dots and colons: ``create_time > 2026-01-31T00:00:00Z``.
"""

_END = r"(?![^\s()])"
"""Where a keyword ends: NOTE is no NOT."""

GRAMMAR = rf"""
start: expression
?expression: factor | factor (_AND factor)+ -> conjunction
?factor: term | term (_OR term)+            -> disjunction
?term: _simple | (NOT | MINUS) _simple      -> negation
_simple: restriction | "(" expression ")"
restriction: member COMPARATOR (STRING | VALUE)
member: (STRING | SEGMENT) ("." (STRING | KEY))*

_AND: /AND{_END}/
_OR: /OR{_END}/
NOT: /NOT{_END}/
MINUS: "-"
COMPARATOR: /<=|>=|!=|[=<>:]/
STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
SEGMENT: /(?!(?:AND|OR|NOT){_END})[^\s()"'\\,=<>!:.\-][^\s()"'\\,=<>!:.]*/
KEY: /[^\s()"'\\,=<>!:.]+/
VALUE: /(?!(?:AND|OR|NOT){_END})[^\s()"'\\,=<>!:][^\s()"'\\,=<>!]*/
%ignore /\s+/
"""
