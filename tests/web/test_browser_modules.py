"""The page's pure modules, run in Chromium without a server that computes anything."""

import functools
import http.server
import threading

import pytest

from modisp_jax.web.files import STATIC
from tests.web.browsing import needs_browser, page_of

pytestmark = needs_browser


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".js": "text/javascript", ".html": "text/html"}  # noqa: RUF012 (the base class has it so)

    def log_message(self, *words):
        del words


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """An empty page of a server that has the modules under /."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "empty.html").write_text("<!doctype html><title>empty</title><link rel=icon href=data:,>")
    (folder / "static").symlink_to(STATIC)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with page_of(browser) as page:
            page.goto(f"http://127.0.0.1:{server.server_port}/empty.html")
            yield page
            assert page.faults == []
        server.shutdown()
        thread.join()


def run(page, module, body, argument=None):
    """What ``body``, lines of JavaScript, returns; ``m`` is the module, ``x`` the argument."""
    return page.evaluate(f"async (x) => {{ const m = await import('/static/{module}.js'); {body} }}", argument)


RANGES = {"exposure": {"neutral": 0}, "contrast": {"neutral": 0}, "denoise": {"neutral": 1}, "crop": {}}


class TestSettings:
    def test_what_is_neutral_is_left_out(self, page):
        given = {"edits": {"exposure": 0, "contrast": 0.2, "crop": None}, "mix": [], "operators": "smooth"}
        body = "return m.normalise(x[0], x[1])"
        assert run(page, "settings", body, [given, RANGES]) == {"edits": {"contrast": 0.2}}

    def test_a_slider_put_back_leaves_nothing(self, page):
        body = "return m.withEdit(m.withEdit({}, 'exposure', 1, x), 'exposure', 0, x)"
        assert run(page, "settings", body, RANGES) == {}

    def test_equal_settings_have_one_key_whatever_the_order(self, page):
        pair = [{"a": 1, "b": {"c": [1, 2], "d": None}}, {"b": {"d": None, "c": [1, 2]}, "a": 1}]
        assert run(page, "settings", "return m.equal(x[0], x[1])", pair)
        assert not run(page, "settings", "return m.equal(x[0], {...x[1], a: 2})", pair)

    def test_pasting_takes_only_the_chosen_groups(self, page):
        source = {"edits": {"contrast": 0.5}, "white_balance": {"mode": "auto"}}
        target = {"edits": {"exposure": 1, "crop": [0, 0, 0.5, 0.5]}}
        pasted = run(page, "settings", "return m.withGroups(x[0], x[1], ['tone'], x[2])", [target, source, RANGES])
        assert pasted == {"edits": {"exposure": 1, "crop": [0, 0, 0.5, 0.5], "contrast": 0.5}}

    def test_only_finished_photos_are_taken_back(self, page):
        body = """const groups = ["reading", "tone"];
            return ["finished", "raw", "jpeg with raw"].map((kind) => m.groupsFor({kind}, groups))"""
        assert run(page, "settings", body) == [["reading", "tone"], ["tone"], ["tone"]]
        assert run(page, "settings", "return m.normalise({linearize: 'inverse'}, {})") == {}

    def test_before_keeps_the_frame_alone(self, page):
        settings = {"edits": {"exposure": 1, "crop": [0, 0, 0.5, 0.5]}, "mix": [{"style": "vivid", "weight": 1}]}
        body = "return m.beforeSettings({kind: 'raw'}, x[0], x[1])"
        assert run(page, "settings", body, [settings, RANGES]) == {"edits": {"crop": [0, 0, 0.5, 0.5]}}

    @pytest.mark.parametrize(
        ("entries", "mix"),
        [
            ([["natural", 1, {}], ["vivid", 0, {}]], None),
            ([["natural", 0.5, {}]], [{"style": "natural", "weight": 0.5}]),
            ([["natural", 0, {}], ["vivid", 0, {}]], [{"style": "natural", "weight": 0}]),
            (
                [["natural", 0, {}], ["vivid", 0.7, {"chroma": 0.2, "gain": 0.7}]],
                [{"style": "vivid", "weight": 0.7, "weights": {"chroma": 0.2}}],
            ),
        ],
    )
    def test_a_mix_in_normal_form(self, page, entries, mix):
        rows = [dict(zip(("style", "weight", "weights"), entry, strict=True)) for entry in entries]
        found = run(page, "settings", "return m.withMix({}, x, 'natural', {})", rows)
        assert found.get("mix") == mix
        again = run(
            page, "settings", "return m.withMix({}, m.mixOf(x, ['natural', 'vivid'], 'natural'), 'natural', {})", found
        )
        assert again == found

    def test_the_pad_has_a_style_at_each_corner(self, page):
        assert run(page, "settings", "return [m.padWeights(0, 0), m.padWeights(1, 1)]") == [[1, 0, 0, 0], [0, 0, 0, 1]]
        assert sum(run(page, "settings", "return m.padWeights(.3, .6)")) == pytest.approx(1)


class TestHistory:
    def test_a_drag_is_one_step(self, page):
        body = """
            let h = m.startHistory({});
            for (const a of [1, 2, 3]) h = m.preview(h, {a});
            h = m.commit(h, "drag");
            const back = m.undo(h);
            return [h.past.length, h.present, back.present, m.redo(back).present, back.past.length]"""
        assert run(page, "store", body) == [1, {"a": 3}, {}, {"a": 3}, 0]

    def test_a_drag_that_comes_back_is_no_step(self, page):
        body = "return m.commit(m.preview(m.preview(m.startHistory({}), {a: 1}), {}), 'drag').past.length"
        assert run(page, "store", body) == 0

    def test_undo_has_no_limit_and_a_new_step_forgets_the_future(self, page):
        body = """
            const s = m.createStore(); s.add([{id: "p"}]); s.show("p");
            for (let a = 1; a <= 500; a++) s.change({a}, "step");
            for (let a = 0; a < 500; a++) s.undo();
            const first = s.settings(); s.undo(); s.redo(); s.redo();
            const second = s.settings(); s.change({b: 1}, "other"); s.redo();
            return [first, second, s.settings()]"""
        assert run(page, "store", body) == [{}, {"a": 2}, {"b": 1}]

    def test_a_double_click_is_one_step(self, page):
        body = """
            const s = m.createStore(); s.add([{id: "p", settings: {a: 1}}]); s.show("p");
            const mark = s.mark(); s.change({a: 7}, "press"); s.rewind(mark); s.change({}, "reset");
            const steps = s.history().past.length; s.undo();
            return [steps, s.settings()]"""
        assert run(page, "store", body) == [1, {"a": 1}]

    def test_each_photo_has_its_own_history_and_pasting_is_a_step_in_each(self, page):
        body = """
            const kept = [];
            const s = m.createStore((id, settings) => kept.push([id, settings]));
            s.add([{id: "p"}, {id: "q"}]); s.show("p");
            s.changeAll(["p", "q"], (own) => ({...own, a: 1}), "paste"); s.undo();
            const p = s.settings(); s.show("q");
            return [p, s.settings(), kept]"""
        found = run(page, "store", body)
        assert found == [{}, {"a": 1}, [["p", {"a": 1}], ["q", {"a": 1}], ["p", {}]]]


# A scheduler whose frames come when the test says so: answer(n) fulfils the n-th request.
BENCH = """
    const asked = [], shown = [], reports = [], timers = new Map(); let clock = 0;
    const s = m.createScheduler({
      fetchFrame: (step, seq, signal) => new Promise((done, fail) => {
        asked.push({ step, seq, done, fail, signal });
        signal.addEventListener("abort", () => fail(Object.assign(new Error("aborted"), { name: "AbortError" })));
      }),
      show: (frame) => shown.push(frame), report: (state) => reports.push(state),
      timers: { setTimeout: (run) => (timers.set(++clock, run), clock), clearTimeout: (id) => timers.delete(id) },
    });
    const soon = () => new Promise((done) => setTimeout(done));
    const answer = async (n) => { asked[n].done(asked[n].step.name); await soon(); };
    const rest = async () => {
      const all = [...timers.values()]; timers.clear(); all.forEach((run) => run()); await soon();
    };
    const steps = (n) => [{ name: `live ${n}` }, { name: `exact ${n}`, rest: true }];
    const want = (n, scene = "s") => s.want({ scene, time: 0, steps: steps(n) });
"""


class TestScheduler:
    def test_live_first_and_exact_after_a_rest(self, page):
        body = """want(1); await answer(0); const before = asked.length; await rest(); await answer(1);
            return [before, shown, reports.at(-1)]"""
        assert run(page, "frames", BENCH + body) == [1, ["live 1", "exact 1"], "idle"]

    def test_one_request_in_flight_and_the_newest_wins(self, page):
        body = """for (let n = 1; n <= 9; n++) want(n); const first = asked.length; await answer(0);
            return [first, asked.map(({ step }) => step.name)]"""
        assert run(page, "frames", BENCH + body) == [1, ["live 1", "live 9"]]

    def test_an_exact_frame_in_flight_gives_way(self, page):
        body = """want(1); await answer(0); await rest(); want(2); const aborted = asked[1].signal.aborted;
            asked[1].done("late"); await answer(2); await rest(); await answer(3);
            return [aborted, shown, asked.map(({ seq }) => seq)]"""
        assert run(page, "frames", BENCH + body) == [True, ["live 1", "live 2", "exact 2"], [1, 2, 3, 4]]

    def test_no_stale_frame_is_last_whatever_comes_when(self, page):
        body = """
            let seed = 7; const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
            const bad = [];
            for (let round = 0; round < 60; round++) {
              const last = round * 10 + 9;
              for (let n = round * 10; n <= last; n++) {
                want(n);
                const open = random(2) ? asked.findLast((one) => !one.ended) : null;
                if (open) { open.ended = true; open.done(open.step.name); await soon(); }
                if (random(3) === 0) await rest();
              }
              for (let turn = 0; turn < 6; turn++) {
                for (const one of asked) if (!one.ended) { one.ended = true; one.done(one.step.name); await soon(); }
                await rest();
              }
              if (shown.at(-1) !== `exact ${last}`) bad.push([round, shown.at(-1)]);
            }
            return [bad, shown.length > 120]"""
        assert run(page, "frames", BENCH + body) == [[], True]

    def test_a_frame_of_another_photo_is_never_shown(self, page):
        body = "want(1, 'a'); want(2, 'b'); asked[0].done('a'); await answer(1); return shown"
        assert run(page, "frames", BENCH + body) == ["live 2"]

    def test_what_fails_is_said_once_and_not_asked_again(self, page):
        body = """want(1); asked[0].fail(new Error("broken")); await soon(); await rest();
            const tries = asked.length; want(2); return [tries, asked.length, reports]"""
        assert run(page, "frames", BENCH + body) == [1, 2, ["busy", "failed", "busy"]]

    def test_being_overtaken_is_no_failure(self, page):
        body = """want(1); asked[0].fail(Object.assign(new Error("stale"), { stale: true })); await soon();
            return [reports.includes("failed"), asked.length]"""
        assert run(page, "frames", BENCH + body) == [False, 1]

    def test_the_plan_at_full_size_begins_with_the_crop_and_ends_exact(self, page):
        body = """const plan = m.planFrames({ photo: "p", settings: {}, before: null, proxy: 1500,
              region: { top: 0, left: 0, height: 256, width: 256 }, stage: null });
            return plan.map((step) => [step.view.kind, step.quality, step.encoding, step.rest])"""
        assert run(page, "frames", body) == [
            ["crop", "live", "jpeg", False],
            ["proxy", "live", "jpeg", False],
            ["crop", "exact", "png", True],
        ]


class TestViewport:
    PORT = '{ width: 1000, height: 600, size: [3000, 4000], zoom: "fit", x: 0, y: 0 }'

    def test_fit_shows_all_of_it_in_the_middle(self, page):
        rect = run(page, "viewport", f"return m.rectOf({self.PORT})")
        assert rect["height"] == pytest.approx(576)
        assert rect["x"] == pytest.approx((1000 - rect["width"]) / 2, abs=0.5)

    def test_zooming_leaves_the_point_under_the_pointer(self, page):
        body = f"""const at = [700, 200], port = {self.PORT}; const a = m.pointAt(port, ...at);
            const b = m.pointAt(m.zoomAt(port, 1, ...at), ...at); return [a.x - b.x, a.y - b.y]"""
        assert run(page, "viewport", body) == pytest.approx([0, 0], abs=1)

    def test_panning_ends_at_the_edges(self, page):
        body = f"""const far = m.panBy(m.zoomAt({self.PORT}, 1), 1e6, -1e6); return m.rectOf(far)"""
        rect = run(page, "viewport", body)
        assert (rect["x"], rect["y"]) == (0, 600 - 3000)

    def test_the_region_covers_what_is_seen_and_stays_inside(self, page):
        body = f"""
            const bad = []; let seed = 3; const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
            for (let k = 0; k < 500; k++) {{
              const port = m.settle({{ ...{self.PORT}, zoom: 1 + random(3), x: random(4000), y: random(3000) }});
              const r = m.regionOf(port, 1500), rect = m.rectOf(port), s = rect.scale;
              const [right, bottom] = [(port.width - rect.x) / s, (port.height - rect.y) / s];
              const seen = [-rect.x / s, -rect.y / s, Math.min(right, 4000), Math.min(bottom, 3000)];
              const begins = r.left <= Math.max(seen[0], 0) && r.top <= Math.max(seen[1], 0);
              const covers = begins && r.left + r.width >= seen[2] - 1 && r.top + r.height >= seen[3] - 1;
              const inside = Math.min(r.left, r.top) >= 0 && r.left + r.width <= 4000 && r.top + r.height <= 3000;
              const few = r.width % 256 === 0 || r.width === 4000;
              if (!covers || !inside || !few) bad.push([port, r]);
            }}
            return bad"""
        assert run(page, "viewport", body) == []

    def test_the_proxy_suffices_for_the_whole_and_for_small_photos(self, page):
        small = self.PORT.replace("[3000, 4000]", "[96, 128]").replace('"fit"', "4")
        assert run(page, "viewport", f"return [m.regionOf({self.PORT}, 1500), m.regionOf({small}, 1500)]") == [
            None,
            None,
        ]


class TestCrop:
    def test_a_handle_moves_its_own_sides(self, page):
        found = run(page, "crop", "return m.resized([.2, .2, .6, .6], 'nw', .1, -.1)")
        assert found == pytest.approx([0.1, 0.3, 0.7, 0.5])

    def test_nothing_leaves_the_picture_or_the_ratio(self, page):
        body = """
            let seed = 5; const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
            const bad = [];
            for (let k = 0; k < 2000; k++) {
              const ratio = k % 2 ? .3 + 2 * random() : null;
              const handle = ["nw", "n", "ne", "e", "se", "s", "sw", "w"][k % 8];
              let rect = [.25, .25, .5, .5];
              if (ratio) rect = m.fitted(rect, ratio);
              const [t, l, h, w] = m.resized(rect, handle, 2 * random() - 1, 2 * random() - 1, ratio);
              const inside = t >= 0 && l >= 0 && t + h <= 1 + 1e-9 && l + w <= 1 + 1e-9 && h > 0 && w > 0;
              if (!inside || (ratio && Math.abs(w / h - ratio) > 1e-6)) bad.push([handle, ratio, t, l, h, w]);
            }
            return bad"""
        assert run(page, "crop", body) == []

    def test_moving_keeps_the_size(self, page):
        assert run(page, "crop", "return m.moved([.2, .2, .6, .6], 9, -9)") == pytest.approx([0, 0.4, 0.6, 0.6])


class TestNumbers:
    @pytest.mark.parametrize(
        ("spec", "value", "text"),
        [
            ({"low": -4, "high": 4, "step": 0.05, "unit": "EV"}, 0.5, "+0.50 EV"),
            ({"low": -1, "high": 1, "step": 0.01, "unit": ""}, -0.25, "\u221225 %"),
            ({"low": 0, "high": 1, "step": 0.01, "unit": "%"}, 1, "100 %"),
            ({"low": 1800, "high": 10000, "step": 10, "unit": "K"}, 5200, "5200 K"),
            ({"low": -45, "high": 45, "step": 0.1, "unit": "°"}, 1.5, "+1.5°"),
        ],
    )
    def test_written_with_unit_and_read_back(self, page, spec, value, text):
        body = "const { write, read } = m.formatOf(x[0]); const t = write(x[1]); return [t, read(t)]"
        assert run(page, "controls", body, [spec, value]) == [text, value]

    def test_what_is_no_number_is_none_and_ranges_hold(self, page):
        spec = {"low": -4, "high": 4, "step": 0.05, "unit": "EV"}
        assert run(page, "controls", "const { read } = m.formatOf(x); return [read('bright'), read('99')]", spec) == [
            None,
            4,
        ]


class TestPictures:
    def test_clipped_pixels_are_marked_by_kind(self, page):
        body = "return [...m.clippedMask(new Uint8ClampedArray([255, 3, 3, 255, 7, 0, 254, 255, 254, 1, 9, 255]))]"
        marks = run(page, "canvas", body)
        assert marks[0] > 200
        assert marks[6] > 200
        assert marks[8:] == [0, 0, 0, 0]

    def test_a_frame_is_split_where_its_length_says(self, page):
        body = """
            const json = new TextEncoder().encode('{"seq": 3, "mime": "image/png"}');
            const bytes = new Uint8Array([json.length, 0, 0, 0, ...json, 1, 2, 3]);
            const { head, picture } = m.parseFrame(bytes.buffer);
            return [head.seq, picture.type, [...new Uint8Array(await picture.arrayBuffer())]]"""
        assert run(page, "api", body) == [3, "image/png", [1, 2, 3]]

    def test_colours_of_the_chroma_map(self, page):
        assert run(page, "plots", "return [m.rgbOf(.5, 0, 0), m.rgbOf(.5, 0, .5)]") == [[128, 128, 128], [255, 36, 128]]
