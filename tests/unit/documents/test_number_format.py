"""Numbers of a spreadsheet are shown as its reader sees them."""

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from openpyxl.styles.numbers import BUILTIN_FORMATS

from plait.documents.number_format import shown

ACCOUNTING = '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)'


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.155, "0.0%", "15.5%"),
        (0.155, "0.0 %", "15.5 %"),
        (0.155, "0%", "16%"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (1000.5, '#,##0.00\\ "€"', "1,000.50 €"),
        (-5, "[$€-407] #,##0;[Red]-[$€-407] #,##0", "-€ 5"),
        (-5, "0", "-5"),
        (-0.001, "0.00", "0.00"),
        (-5, "0;(0)", "(5)"),
        (7, "00000", "00007"),
        (12, "0000-0000", "0000-0012"),
        (5, "000-00-0000", "000-00-0005"),
        (1234567890, "000-00-0000", "1234-56-7890"),
        (5551234567, "(###) ###-####", "(555) 123-4567"),
        (1234567.5, "# ##0.00", "1234 567.50"),
        (-5, "# ##0.00", "-5.00"),
        (1.005, "0.00", "1.01"),
        (2.5, "0", "3"),
        (2.5, "0.###", "2.5"),
        (2, "0.###", "2"),
        (1_500_000, '0.0,,"M"', "1.5M"),
        (5, '0 "kg"', "5 kg"),
        (-1234.5, ACCOUNTING, "$(1,234.50)"),
        (0, ACCOUNTING, "$-"),
        (0.1 + 0.2, "General", "0.3"),
        (1 / 3, "General", "0.3333333333"),
        (1e20, "General", "1e+20"),
        (12.0, "General", "12"),
        (1500, "0.00E+00", "1500"),
        (0.5, "# ?/?", "0.5"),
        (5, "[>100]0.0;0.00", "5"),
        (5, ";;;", "5"),
        (10**400, "#,##0", str(10**400)),
        (float("inf"), "0.00", "inf"),
        (1e300, "0.00", "1e+300"),
        (True, "0.00", "TRUE"),
        ("NA", "0.00", "NA"),
        (None, "0.00", ""),
        (date(2024, 1, 31), "dd.mm.yyyy", "2024-01-31"),
        (datetime(2024, 1, 31), "mm-dd-yy", "2024-01-31"),
        (datetime(2024, 1, 31), "mmm yyyy", "2024-01"),
        (datetime(2024, 1, 31), "yyyy", "2024"),
        (datetime(2024, 1, 31, 14, 30), 'dd/mm/yyyy "at" hh:mm', "2024-01-31 14:30"),
        (datetime(2024, 1, 31, 14, 30, 5), "[$-409]m/d/yy h:mm:ss AM/PM", "2024-01-31 14:30:05"),
        (datetime(2024, 1, 31), "General", "2024-01-31"),
        (time(9, 5), "h:mm", "09:05"),
        (timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
        (timedelta(hours=-1), "[h]:mm", "-1:00:00"),
    ],
)
def test_a_value_is_shown_in_its_format(value: Any, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_no_format_of_excels_own_fails() -> None:
    values = [
        0,
        1,
        -1.5,
        1e-9,
        1e15,
        datetime(2024, 1, 31, 1, 2, 3),
        time(1),
        timedelta(1),
        date(2024, 1, 1),
        "x",
        True,
    ]
    assert all(shown(value, code) for code in BUILTIN_FORMATS.values() for value in values)


@pytest.mark.parametrize(
    "code", ['"', "\\", "[", "[$", "0." + "0" * 250, '""' * 100, ";" * 255, "0;" * 200, "#" * 9_999]
)
def test_a_format_that_is_none_costs_nothing(code: str) -> None:
    assert shown(5, code).startswith("5")
