from tasks.data.offline_docs import make_offline

PAGE = """<html><head><title>t</title>
<link rel="stylesheet" href="https://cdn.example/a.css">
<script src='https://cdn.example/a.js' integrity="x"
></script></head><body><a href="https://example.org">kept</a>
<img src="https://cdn.example/a.png"><script>let a = 1;</script></body></html>"""


def test_what_a_page_would_load_from_outside_is_taken_out_and_links_stay(tmp_path):
    (tmp_path / "below").mkdir()
    page = tmp_path / "below" / "index.html"
    page.write_text(PAGE)
    make_offline(tmp_path)
    text = page.read_text()
    assert "cdn.example" not in text
    assert 'href="https://example.org"' in text
    assert "let a = 1;" in text
    assert text.count("<style") == 1
    when = page.stat().st_mtime_ns
    make_offline(tmp_path)
    assert (page.read_text(), page.stat().st_mtime_ns) == (text, when)


def test_films_of_how_it_is_done_take_no_room(tmp_path):
    (tmp_path / "static" / "images").mkdir(parents=True)
    (tmp_path / "static" / "images" / "a.gif").touch()
    make_offline(tmp_path)
    assert not list(tmp_path.rglob("*.gif"))
