from dataclasses import fields

from vccapp.neural.fitting.fitting import Fitting, FittingOptions


def test_options_of_a_fit_are_the_fields_of_fitting() -> None:
    assert list(FittingOptions.__annotations__) == [field.name for field in fields(Fitting)]
