"""The console in a real browser: one Chromium and one server for all tests, in order."""

import time
from io import BytesIO

import numpy as np
from PIL import Image

from tasks.registry import history, model_versions
from tasks.registry.decisions import appoint, rollback
from tasks.serving.api_keys import Keys


def text(page, selector="#content"):
    return page.locator(selector).inner_text()


def frames(count=8, seed=7):
    random = np.random.default_rng(seed)
    for number in range(count):
        file = BytesIO()
        pixels = random.integers(0, 256, (16, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        name = f"{number}.png"  # 10.png comes after 9.png
        yield {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def test_the_detectors_are_shown_with_champion_score_and_drift(visit):
    page = visit("/")
    row = page.locator("tbody tr").first
    row.get_by_role("link", name="squares").wait_for()
    shown = row.inner_text()
    for part in ("version 1", "0.875", "frame AUC", "version 2", "not running", "drift"):
        assert part in shown
    assert "UTC" in row.locator("time").first.get_attribute("title")


def test_text_of_others_is_shown_and_never_becomes_markup(visit):
    page = visit("/detectors/squares")
    page.locator(".decisions").wait_for()
    assert "<b>It is worse</b> by 0.02." in text(page, ".decisions")
    assert page.locator(".decisions b").count() == 0


def test_the_chart_of_scores_is_read_with_the_arrow_keys(visit):
    page = visit("/detectors/squares")
    chart = page.locator(".plot").first
    chart.focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator(".tip").first
    assert "Version 1: 0.875" in tip.inner_text()
    page.keyboard.press("End")
    assert "Version 2" in tip.inner_text()
    assert chart.locator("circle.champion").count() == 1
    assert chart.locator("circle.refused").count() == 1


def test_the_lineage_leads_from_the_data_to_what_serves(visit, stocked, address):
    page = visit("/detectors/squares/lineage")
    page.locator(".arrows path").first.wait_for(state="attached")
    titles = page.locator(".box h3").all_inner_texts()
    assert titles[0] == "Data version"
    assert titles[-1] == "Champion"
    digest = stocked.settled.clips.digest
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page.get_by_role("button", name=f"Copy data digest {digest}").click()
    page.locator(".digest.copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == digest


def test_drift_is_shown_over_time(visit):
    page = visit("/detectors/squares/drift")
    page.get_by_role("heading", name="Fréchet distance").wait_for()
    assert page.locator(".plot").count() == 2
    assert page.locator(".plot circle.drifted").count() == 2
    assert "above the 2 that normal clips may reach" in text(page)


def test_data_versions_lead_to_their_validation(visit, stocked):
    page = visit("/data")
    page.get_by_role("link", name="Validation results of squares").click()
    page.get_by_role("heading", name="Validation of squares").wait_for()
    assert "1 of 2 expectations met" in text(page)
    assert "no constant image" in text(page)


def test_a_clip_that_is_dropped_gets_its_maps_scores_and_decisions(visit, stocked):
    page = visit("/detectors/squares/try")
    page.locator("#files").wait_for(state="attached")
    page.locator("#files").set_input_files(list(frames()))
    page.locator("canvas[data-frame]").wait_for()
    assert "3 frames" in text(page, "#scored h2")
    assert "p-value" in text(page, "#scored")
    colours = page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas[role=img]");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const place = (index) => data[index] !== data[index + 1];
          return data.filter((_, index) => index % 4 === 0 && place(index)).length;
        }"""
    )
    assert colours > 1000  # frames are gray, the map is not
    page.locator("#frame").focus()
    page.keyboard.press("Home")
    page.locator("canvas[data-frame='5']").wait_for()


def test_what_cannot_be_scored_is_explained(visit):
    page = visit("/detectors/squares/try")
    page.locator("#files").wait_for(state="attached")
    page.locator("#files").set_input_files(list(frames(2)))
    page.get_by_role("heading", name="These files cannot be scored").wait_for()
    assert "at least 6 frames, got 2" in text(page, "#results")


def serve_clips(count):
    """Clips that a server scored and kept, the newest last; what it answered."""
    from fastapi.testclient import TestClient

    from tasks.serving.kept_pictures import Keep
    from tasks.serving.serve import build_app

    with TestClient(build_app("squares", keep=Keep(policy="all"))) as session:
        while not session.get("/health").is_success:
            time.sleep(0.05)
        return [
            session.post(
                "/predict", files=[("files", each["buffer"]) for each in frames(seed=seed)]
            )
            for seed in range(count)
        ]


def test_an_inbox_is_judged_with_the_keyboard_alone(visit, stocked):
    from tasks.feedback import inbox, judgements

    said = [answer.json()["request_id"] for answer in serve_clips(4)][::-1]
    token = Keys().add("Lise", ["label"])
    page = visit("/detectors/squares/inbox")
    page.locator(f"#stage[data-prediction='{said[0]}'] canvas.ramp").wait_for()
    page.keyboard.press("j")
    page.locator(f"#stage[data-prediction='{said[1]}']").wait_for()
    page.keyboard.press("k")
    page.locator(f"#stage[data-prediction='{said[0]}']").wait_for()
    page.keyboard.press("n")
    page.get_by_role("dialog").get_by_label("Key").fill(token)
    page.keyboard.press("Enter")
    page.get_by_text("3 to judge, 1 judged in this sitting").wait_for()
    page.locator("#kind").fill("dent")
    page.keyboard.press("n")  # a letter of the kind, no verdict
    page.locator("#kind").blur()
    page.keyboard.press("d")
    page.get_by_text("2 to judge, 2 judged in this sitting").wait_for()
    page.keyboard.press("u")
    page.get_by_text("3 to judge, 1 judged in this sitting").wait_for()
    page.locator("#kind").fill("dent")
    page.locator("#key-d").click()
    page.get_by_text("2 to judge, 2 judged in this sitting").wait_for()
    for left in (1, 0):
        page.keyboard.press("s")
        page.get_by_text(f"{left} to judge, ").wait_for()
    page.get_by_role("heading", name="Nothing to judge").wait_for()
    found = {each.last.prediction: each.last for each in inbox.pending("squares").values()}
    assert found.keys() == set(said[:2])
    assert (found[said[0]].verdict, found[said[0]].who) == ("normal", "Lise (console)")
    assert (found[said[1]].verdict, found[said[1]].kind) == ("defect", "dent")
    assert len(judgements.read("squares")) == 6


def champion(stocked):
    return model_versions.aliases(stocked.client, "squares")["champion"]


def test_promoting_and_rolling_back_need_a_key_a_reason_and_no_mouse(visit, stocked):
    page = visit("/detectors/squares")
    page.locator("#promote-2").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert "needs a key with the right 'promote'" in dialog.inner_text()
    page.keyboard.type("unseen_wrong")
    page.keyboard.press("Enter")
    dialog.get_by_text("This key is not known").wait_for()
    assert champion(stocked) == 1
    dialog.get_by_label("Key").fill(stocked.token)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Promote squares version 2").wait_for()
    assert "The comparison had refused it" in dialog.inner_text()
    page.get_by_role("button", name="Promote version 2", exact=True).last.press("Enter")
    dialog.get_by_text("Say why").wait_for()
    assert page.evaluate("document.activeElement.id") == "why"
    page.keyboard.type("It finds carts.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Roll back to version 1").wait_for()
    assert champion(stocked) == 2
    last = history.read("squares", stocked.client)[-1]
    assert (last.who, last.why) == ("Grace (console)", "It finds carts.")
    page.locator("#rollback").click()
    dialog.get_by_label("Reason").fill("It misses carts.")
    dialog.get_by_role("button", name="Roll back to version 1").click()
    page.locator("#promote-2").wait_for()
    assert champion(stocked) == 1


def test_escape_changes_nothing_and_gives_the_focus_back(visit, stocked):
    page = visit("/detectors/squares")
    page.locator("#promote-2").press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert page.evaluate("document.activeElement.id") == "promote-2"
    assert champion(stocked) == 1


def test_who_comes_second_is_told_what_happened(visit, stocked):
    page = visit("/detectors/squares")
    page.locator("#key").click()
    page.get_by_role("dialog").get_by_label("Key").fill(stocked.token)
    page.keyboard.press("Enter")
    page.get_by_text("Key: Grace").wait_for()
    page.locator("#promote-2").click()
    appoint("squares", 2, "Hopper was quicker.", who="Hopper")
    page.get_by_label("Reason").fill("It finds carts.")
    page.get_by_role("dialog").get_by_role("button", name="Promote version 2").click()
    page.locator(".problem").get_by_text("Hopper was quicker.").wait_for()
    page.keyboard.press("Escape")
    assert champion(stocked) == 2  # Hopper's promotion stands, and was not made twice
    rollback("squares", "As it was.")
    assert champion(stocked) == 1


def test_everything_is_reached_with_the_tab_key_in_sight(visit):
    page = visit("/detectors/squares")
    page.locator("#promote-2").wait_for()
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const each = document.activeElement;
              const style = getComputedStyle(each);
              const framed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              return [each.id || each.textContent.trim().slice(0, 20), framed];
            }"""
        )
        seen.append(found)
        if found[0] == "promote-2":
            break
    names = [name for name, _ in seen]
    assert names[0] == "Skip to the content"
    assert {"Detectors", "Lineage", "key", "theme", "metric", "promote-2"} <= set(names)
    assert all(framed for _, framed in seen), seen


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    const parts = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, two) => {
    const [low, high] = [light(one), light(two)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const pairs = [["--text", "--page"], ["--text", "--surface"], ["--on-accent", "--accent"],
    ["--surface", "--bad"], ["--muted", "--page"], ["--muted", "--surface"], ["--muted", "--sunk"]];
  for (const name of ["good", "warn", "bad", "accent"]) {
    pairs.push([`--${name}`, `--${name}-soft`], [`--${name}`, "--surface"]);
  }
  const least = Math.min(...pairs.map((each) => ratio(...each)));
  return [style.getPropertyValue("--page").trim(), least];
}"""


def test_both_sets_of_colours_have_contrast_and_can_be_chosen(visit):
    page = visit("/")
    light, contrast = page.evaluate(CONTRAST)
    assert contrast >= 4.5
    page.emulate_media(color_scheme="dark")
    dark, contrast = page.evaluate(CONTRAST)
    assert contrast >= 4.5
    assert dark != light
    page.locator("#theme").click()
    assert page.evaluate(CONTRAST)[0] == light
    page.reload()
    assert page.evaluate(CONTRAST)[0] == light
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="light")


def test_narrow_windows_lose_nothing(visit):
    page = visit("/detectors/squares")
    page.locator("#promote-2").wait_for()
    page.set_viewport_size({"width": 390, "height": 800})
    # charts are drawn anew a frame or two after the window's size has changed
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    assert page.locator("#promote-2").is_visible()
    page.set_viewport_size({"width": 1200, "height": 800})


def test_unknown_detectors_and_pages_are_told_in_a_sentence(visit):
    page = visit("/detectors/circles")
    page.get_by_text("There is no registered model 'circles'").wait_for()
    assert "squares" in page.get_by_role("main").inner_text()  # what there is instead
    page = visit("/nowhere")
    page.get_by_role("heading", name="There is no such page").wait_for()
    assert page.get_by_role("link", name="Detectors").first.is_visible()


def test_the_api_is_described_without_internet(window, address):
    window.goto(f"{address}/docs")
    window.get_by_text("/api/detectors/{name}/promote").click()
    assert "Version that serves now" in text(window)
