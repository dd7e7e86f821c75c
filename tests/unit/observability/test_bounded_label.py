"""A label with a bounded number of values."""

from plait.observability.bounded_label import OTHER, BoundedLabel


def test_a_thousand_names_make_only_as_many_values_as_allowed() -> None:
    label = BoundedLabel(limit=3)
    assert {label(f"adapter-{i}") for i in range(1000)} == {"adapter-0", "adapter-1", "adapter-2", OTHER}


def test_a_name_that_has_its_own_value_keeps_it_when_the_label_is_full() -> None:
    label = BoundedLabel(limit=1)
    assert [label(name) for name in ("first", "second", "first")] == ["first", OTHER, "first"]


def test_no_adapter_is_not_a_name_and_takes_no_place() -> None:
    label = BoundedLabel(limit=1)
    assert [label(name) for name in ("", "first", "")] == ["", "first", ""]
