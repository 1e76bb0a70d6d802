"""Conditions as SQL. What was written in a filter goes to the database in parameters only."""

from sqlalchemy import ColumnElement, and_, not_, or_

from moorage_registry.core.filters.conditions import Compares, Condition, IsPresent, Resembles
from moorage_registry.core.filters.syntax import And, Not, Or
from moorage_registry.store.fields.stored import FieldTable


def sql_of(condition: Condition, fields: FieldTable) -> ColumnElement[bool]:
    """Returns what finds the rows for which a condition holds."""
    match condition:
        case And(operands=operands):
            return and_(*(sql_of(operand, fields) for operand in operands))
        case Or(operands=operands):
            return or_(*(sql_of(operand, fields) for operand in operands))
        case Not(operand=operand):
            return not_(sql_of(operand, fields))
        case IsPresent() | Compares() | Resembles():
            return fields[condition.subject.field].condition(condition)
