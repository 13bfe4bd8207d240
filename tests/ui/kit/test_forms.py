from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from vccapp.ui.kit.forms import choose_one

    left, right = st.columns(2)
    named = choose_one("Genes", {"variable": "Most variable", "all": "All genes"}, key="genes", place=left)
    listed = choose_one("Part", ["val", "test"], key="part", default="test", place=right, linked=False)
    st.write(f"{named} {listed}")


def test_one_of_a_few_is_always_chosen_and_kept_in_the_address() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception and app.markdown[0].value == "variable test"
    genes, part = app.get("button_group")
    assert [option.content for option in genes.proto.options] == ["Most variable", "All genes"]
    genes.set_value("all").run()
    assert app.markdown[0].value == "all test"
    part.set_value("val").run()
    assert app.markdown[0].value == "all val"


def test_a_linked_choice_comes_from_the_address() -> None:
    app = AppTest.from_function(page)
    app.query_params["genes"], app.query_params["part"] = "All genes", "val"
    assert app.run().markdown[0].value == "all test", "part is not linked"
