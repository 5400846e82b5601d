from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import DictLoader, Environment

from tasks.data import docs_templates


def test_views_share_what_one_of_them_has_compiled(monkeypatch):
    docs_templates.share()
    begin = DefaultJinjaPageView.__init__
    docs_templates.share()
    assert DefaultJinjaPageView.__init__ is begin  # once is enough
    DefaultJinjaPageView().env.get_template("page.j2")

    def compiled(*_):
        raise AssertionError

    monkeypatch.setattr(Environment, "compile", compiled)
    shown = DefaultJinjaPageView().env.get_template("page.j2")
    assert shown.name == "page.j2"


def test_a_template_whose_text_has_changed_is_compiled_again():
    shared, texts = docs_templates._Compiled(), {"a": "one {{ x }}"}

    def shown():
        made = Environment(loader=DictLoader(texts), bytecode_cache=shared, autoescape=True)
        return made.get_template("a")

    assert shown().render(x=1) == shown().render(x=1) == "one 1"
    texts["a"] = "two {{ x }}"
    assert shown().render(x=1) == "two 1"
