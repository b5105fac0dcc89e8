"""The Python module against the library: what the C interface promises holds through it."""
import gc
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import calmoe

try:
    import numpy
except ImportError:
    numpy = None

PROMPT = "The function returns"


def quiet(sentence):
    """A log for sessions whose remarks are known."""


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = calmoe.Model()
        cls.engine = cls.model.engine(threads=1)

    @classmethod
    def tearDownClass(cls):
        cls.model.close()


class Models(Base):
    def test_what_it_is(self):
        info = self.model.info
        self.assertEqual((info.family, info.n_layers, info.n_experts, info.n_experts_used), ("qwen3moe", 10, 24, 4))
        self.assertEqual(len(info.fingerprint), 16)
        self.assertEqual(self.model.metadata["general.architecture"], "qwen3moe")
        tensors = {tensor.name: tensor for tensor in self.model.tensors()}
        self.assertEqual(tensors["token_embd.weight"].shape, (info.width, info.n_vocab))
        self.assertIn("chatml", calmoe.chat_formats())

    def test_tokens_and_back(self):
        for text in ("", PROMPT, "naïve Größe\n\t日本 🎉", "x" * 10000):
            tokens = self.model.tokenize(text)
            self.assertEqual(self.model.detokenize(tokens), text)
            self.assertEqual("".join(self.model.text_of(tokens)), text)
        emoji = self.model.tokenize("🎉")
        self.assertGreater(len(emoji), 1)
        self.assertEqual(list(self.model.text_of(emoji)), ["🎉"])  # never half a character
        self.assertEqual(self.model.detokenize(emoji[:1]), "\ufffd")
        end = self.model.tokenize("<|im_end|>", special=True)
        self.assertEqual(len(end), 1)
        self.assertTrue(self.model.ends_answer(end[0]))
        self.assertGreater(len(self.model.tokenize("<|im_end|>")), 1)

    def test_failures_are_sentences(self):
        with self.assertRaises(calmoe.FileFailure) as failed:
            calmoe.Model("/no/such/model.gguf")
        self.assertIn("/no/such/model.gguf", str(failed.exception))
        self.assertIsInstance(failed.exception, OSError)
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(b"GGUF and then nothing that would be a model")
            file.flush()
            with self.assertRaises((calmoe.BadFile, calmoe.Unsupported)) as failed:
                calmoe.Model(file.name)
            self.assertIn(os.path.basename(file.name), str(failed.exception))
        with self.assertRaises(calmoe.InvalidArgument) as failed:
            self.model.engine(isa="z80")
        self.assertIn("z80", str(failed.exception))
        with self.assertRaises(TypeError) as failed:
            self.model.engine(max_rows="many")
        self.assertIn("max_rows", str(failed.exception))
        with self.assertRaises(ValueError) as failed:
            self.engine.session(lossless="sometimes")
        self.assertIn("where_faster", str(failed.exception))

    def test_other_numbers_than_the_files(self):
        with calmoe.Model(n_experts_used=2, log=quiet) as narrow:
            self.assertEqual(narrow.info.n_experts_used, 2)
            self.assertNotEqual(narrow.info.fingerprint, self.model.info.fingerprint)

    def test_remarks_are_logged(self):
        remarks = []
        with calmoe.Model(log=remarks.append) as model:
            model.engine(threads=1).session(context=4096)
        self.assertTrue(any("4096" in remark for remark in remarks), remarks)

        def refuse(sentence):
            raise KeyError(sentence)

        with calmoe.Model(log=refuse) as model, self.assertRaises(KeyError):
            model.engine(threads=1).session(context=4096)


class Sessions(Base):
    def test_stream_and_batch_say_the_same(self):
        prompts = [PROMPT, "int main(int argc", "Das Programm wird"]
        alone = [self.engine.generate(prompt, max_new_tokens=12) for prompt in prompts]
        self.assertEqual(["".join(self.engine.stream(prompt, max_new_tokens=12)) for prompt in prompts], alone)
        self.assertEqual(self.engine.batch(prompts, max_new_tokens=12), alone)
        self.assertTrue(all(alone))

    def test_sampler(self):
        def say(**keywords):
            return self.engine.generate(PROMPT, max_new_tokens=16, sampler=calmoe.Sampler(**keywords))

        self.assertEqual(say(temperature=1.5, seed=3), say(temperature=1.5, seed=3))
        self.assertNotEqual(say(temperature=1.5, seed=3), say(temperature=1.5, seed=4))
        self.assertEqual(say(temperature=1.5, top_k=1, seed=3), say())
        with self.assertRaises(calmoe.InvalidArgument):
            say(temperature=-1)

    def test_another_sampler_and_other_limits(self):
        session = self.engine.session()
        session.feed(PROMPT)
        session.set_limits(5)
        greedy = list(session.tokens())
        self.assertEqual(len(greedy), 5)
        session.rewind(0)
        session.set_sampler(calmoe.Sampler(biases={greedy[0]: float("-inf")}))
        session.feed(PROMPT)
        self.assertNotEqual(next(session.tokens()), greedy[0])
        twins = [session.fork() for _ in range(2)]
        for seed, twin in enumerate(twins):
            twin.set_sampler(calmoe.Sampler(temperature=2.0, seed=seed))
            twin.set_limits(12, ignore_end=True)
        self.assertNotEqual(*[list(twin.tokens()) for twin in twins])
        self.assertIn("temperature=", repr(calmoe.Sampler.of_model(self.model)))

    def test_constraints(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
                  "required": ["n", "ok"]}
        form = calmoe.Constraint.json_schema(self.model, schema, compact=True)
        session = self.engine.session(sampler=calmoe.Sampler(constraint=form, temperature=1.0, seed=1))
        form.close()  # the session keeps it
        del form
        gc.collect()
        session.feed("Numbers: ")
        self.assertEqual(set(json.loads(session.generate())), {"n", "ok"})
        either = calmoe.Constraint.pattern(self.model, "(left|right)")
        self.assertIn(self.engine.generate("Go ", sampler=calmoe.Sampler(constraint=either)), ("left", "right"))
        with self.assertRaisesRegex(calmoe.CalmoeError, "wanted"):
            calmoe.Constraint.pattern(self.model, "(")

    def test_chat(self):
        answer = self.engine.generate("What does ls do?", chat=True, max_new_tokens=8)
        self.assertTrue(answer)
        session = self.engine.session(max_new_tokens=4)
        self.assertIsNone(session.turn_begin)
        session.feed_chat("What does ls do?")
        begin = session.turn_begin
        session.generate()
        session.rewind(begin)
        self.assertEqual(session.n_tokens, begin)

    def test_fork_rewind_save_restore(self):
        sampler = calmoe.Sampler(temperature=0.9, seed=5)
        session = self.engine.session(hash_logits=True, ignore_end=True, sampler=sampler)
        session.feed(PROMPT)
        first = [session.next_token() for _ in range(4)]
        twin = session.fork()
        rest = [session.next_token() for _ in range(8)]
        self.assertEqual([twin.next_token() for _ in range(8)], rest)
        self.assertEqual(twin.logit_hash(), session.logit_hash())
        self.assertEqual(session.n_tokens, session.n_positions + 1)  # the last one is not read yet

        greedy = self.engine.session()
        greedy.feed(PROMPT)
        last = [greedy.next_token() for _ in range(3)][-1]
        kept, place = greedy.n_tokens, greedy.fork()
        following = [greedy.next_token() for _ in range(6)]
        greedy.rewind(kept - 1)
        self.assertIsNone(greedy.next_token())  # nothing to go on from
        greedy.feed_tokens([last])
        self.assertEqual([greedy.next_token() for _ in range(6)], following)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "session")
            place.save(path)
            with self.model.engine(threads=1) as other:
                again = other.restore(path)
                self.assertEqual(again.n_tokens, kept)
                self.assertEqual([again.next_token() for _ in range(6)], following)
            with self.assertRaises(calmoe.CalmoeError):
                self.engine.restore(os.path.join(folder, "none"))
        self.assertEqual(len(first), 4)

    def test_full_and_end(self):
        session = self.engine.session(context=8, ignore_end=True)
        session.feed("a")
        with self.assertRaises(calmoe.Full):
            for _ in session.tokens():
                pass
        with self.assertRaises(calmoe.Full):
            session.feed("much more than there is room for in eight positions")
        session = self.engine.session(max_new_tokens=3)
        session.feed("a")
        self.assertEqual(len(list(session.tokens())), 3)
        self.assertIsNone(session.next_token())
        self.assertIsNone(self.engine.session().next_token())  # nothing to go on from

    def test_run_tells_every_session(self):
        sessions = [self.engine.session(max_new_tokens=n) for n in (2, 5)]
        for session in sessions:
            session.feed(PROMPT)
        events = list(self.engine.run())
        for session, n in zip(sessions, (2, 5)):
            mine = [event for event in events if event.session is session]
            self.assertEqual([event.status for event in mine], ["ok"] * n + ["end"])
            self.assertIsNone(mine[-1].token)

    def test_interrupt(self):
        session = self.engine.session()
        session.feed(PROMPT)
        session.interrupt()
        with self.assertRaises(calmoe.Cancelled):
            session.next_token()
        session.feed_tokens([])
        self.assertIsNotNone(session.next_token())

        other = self.engine.session(max_new_tokens=1)
        for each in (session, other):
            each.feed(PROMPT)
        session.interrupt()
        events = list(self.engine.run())
        self.assertIn((session, None, "cancelled"), events)
        self.assertEqual([event.status for event in events if event.session is other], ["ok", "end"])


class Logits(Base):
    def test_own_loop_writes_what_next_writes(self):
        tokens = self.model.tokenize(PROMPT)
        session, by_hand = self.engine.session(), self.engine.session()
        session.feed_tokens(tokens)
        expected = [session.next_token() for _ in range(6)]
        found, chunk = [], tokens
        for _ in range(6):
            self.engine.step([calmoe.Chunk(by_hand, chunk)])
            logits = by_hand.logits()
            likeliest = max(range(len(logits)), key=logits.__getitem__)
            self.assertEqual(by_hand.sample(), likeliest)
            found.append(likeliest)
            chunk = [likeliest]
        self.assertEqual(found, expected)

    def test_rows(self):
        tokens = self.model.tokenize(PROMPT)
        session = self.engine.session()
        self.engine.step([calmoe.Chunk(session, tokens, "all")])
        self.assertEqual(session.n_logits, len(tokens))
        self.assertEqual(list(session.logits(-1)), list(session.logits(len(tokens) - 1)))
        self.assertEqual(session.depth().layers, self.model.info.n_layers)
        with self.assertRaises(calmoe.InvalidArgument):
            session.logits(len(tokens))
        self.engine.step([calmoe.Chunk(session, tokens, "none")])
        self.assertEqual(session.n_logits, 0)
        with self.assertRaises(calmoe.InvalidArgument):
            session.logits()

    def test_log_probabilities(self):
        tokens = self.model.tokenize(PROMPT)
        session, kept = self.engine.session(), self.engine.session(max_new_tokens=1)
        self.engine.step([calmoe.Chunk(session, tokens, "all")])
        logits = session.logits(0)
        told = session.logprobs(tokens[1], row=0, top=3)
        expected = logits[tokens[1]] - max(logits) - math.log(sum(math.exp(x - max(logits)) for x in logits))
        self.assertAlmostEqual(told.logprob, expected, places=4)
        self.assertEqual(told.top[0][0], max(range(len(logits)), key=logits.__getitem__))
        self.assertEqual(told.top, sorted(told.top, key=lambda pair: -pair[1]))
        kept.keep_logprobs(3)
        kept.feed_tokens(tokens)
        kept.next_token()
        self.assertEqual(kept.kept_logprobs(1, top=3), told)
        with self.assertRaises(calmoe.InvalidArgument):
            kept.kept_logprobs(0)

    def test_views_end_with_the_next_step(self):
        session = self.engine.session()
        session.feed(PROMPT)
        session.next_token()
        view = session.logits()
        self.assertTrue(view.readonly)
        self.assertEqual((view.format, len(view)), ("f", self.model.info.n_vocab))
        session.next_token()
        with self.assertRaises(ValueError):
            view[0]
        piece = session.logits()[:4]
        with self.assertRaises(BufferError):
            session.next_token()
        self.assertEqual(len(list(piece)), 4)  # still the step's
        del piece
        self.assertIsNotNone(session.next_token())

    def test_views_outlive_the_engine(self):
        with calmoe.Model() as model:
            session = model.engine(threads=1).session()
            session.feed(PROMPT)
            session.next_token()
            view = session.logits()
            before = list(view)
        del model, session
        gc.collect()
        self.assertEqual(list(view), before)

    @unittest.skipIf(numpy is None, "there is no numpy")
    def test_numpy(self):
        session = self.engine.session()
        session.feed(PROMPT)
        session.next_token()
        view, array = session.logits(), session.logits_numpy()
        self.assertEqual(array.dtype, numpy.float32)
        self.assertEqual(array.ctypes.data, session.logits_numpy().ctypes.data)  # nothing is copied
        self.assertEqual(array.tolist(), list(view))
        with self.assertRaises(BufferError):
            session.next_token()
        del array
        session.next_token()


class Callbacks(Base):
    def test_routing(self):
        seen = []
        with self.model.engine(threads=1, routing=seen.append) as engine:
            session = engine.session()
            tokens = self.model.tokenize(PROMPT)
            engine.step([calmoe.Chunk(session, tokens, "none")])
            info = self.model.info
            self.assertEqual(len(seen), len(tokens) * info.n_layers)
            for event in seen:
                self.assertIs(event.session, session)
                self.assertEqual(tokens[event.position], event.token)
                self.assertEqual(len(set(event.experts)), info.n_experts_used)
                self.assertAlmostEqual(sum(event.weights), 1, places=5)
            counts = engine.expert_counts(3)
            self.assertEqual(sum(counts), len(tokens) * info.n_experts_used)
            for expert, n in enumerate(counts):
                self.assertEqual(sum(e.layer == 3 and expert in e.experts for e in seen), n)

    def test_what_they_raise_reaches_the_caller(self):
        wanted = [True]

        def routing(event):
            if wanted[0] and event.layer == 4:
                raise LookupError(f"layer {event.layer}")

        with self.model.engine(threads=1, routing=routing) as engine:
            session, plain = engine.session(), self.engine.session()
            for each in (session, plain):
                each.feed(PROMPT)
            with self.assertRaisesRegex(LookupError, "layer 4"):
                session.next_token()
            with self.assertRaisesRegex(LookupError, "layer 4"):
                engine.next()
            self.assertEqual(session.n_positions, 0)  # the step is undone
            wanted[0] = False
            self.assertEqual([session.next_token() for _ in range(5)], [plain.next_token() for _ in range(5)])
            session.feed(PROMPT)
            plain.feed(PROMPT)
            self.assertEqual([event.token for _ in range(3) for event in engine.next()],
                             [plain.next_token() for _ in range(3)])

        def progress(fraction):
            raise LookupError("no further")

        with self.assertRaisesRegex(LookupError, "no further"):
            self.model.engine(progress=progress)

    def test_they_must_not_call_into_the_engine(self):
        def routing(event):
            event.session.next_token()

        with self.model.engine(threads=1, routing=routing) as engine:
            session = engine.session()
            session.feed(PROMPT)
            with self.assertRaisesRegex(RuntimeError, "callback"):
                session.next_token()

    def test_they_may_drop_what_runs(self):
        engine = self.model.engine(threads=1, routing=lambda event: event.session.close())
        session = engine.session()
        session.feed(PROMPT)
        session.next_token()
        with self.assertRaises(ValueError):
            session.next_token()


class Signals(unittest.TestCase):
    def setUp(self):
        self.model = calmoe.Model(log=quiet)
        self.engine = self.model.engine(threads=1)

    def tearDown(self):
        self.model.close()

    def press(self, context):
        """Ctrl-C, as soon as the library works."""
        while not context._is_busy:
            time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGINT)

    def read_pressed(self, session, n_words):
        """Feeds so many words, and lets them be read while Ctrl-C is pressed; did that come before they were read?"""
        session.feed("word " * n_words)
        n_tokens = session.n_tokens
        presser = threading.Thread(target=self.press, args=(session.handle.context,))
        presser.start()
        try:
            session.next_token()
            presser.join()
        except KeyboardInterrupt:
            self.n_heard += 1
            presser.join()
        return session.n_positions < n_tokens

    def test_ctrl_c_ends_a_long_prompt(self):
        self.n_heard = 0
        for n_tries, n_words in enumerate((100, 400, 1600, 1600, 1600, 1600)):  # a short text may be read before
            session = self.engine.session(context=4000)
            if self.read_pressed(session, n_words):
                break
        else:
            self.fail("no text was interrupted while it was read")
        self.assertEqual(self.n_heard, n_tries + 1)
        whole = self.engine.session(context=4000)
        whole.feed("word " * n_words)
        self.assertEqual(session.next_token(), whole.next_token())  # it goes on where it was

    def test_a_handler_that_raises_nothing(self):
        heard = []
        before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
        try:
            session = self.engine.session(context=3000)
            self.assertFalse(self.read_pressed(session, 200))  # it read on
        finally:
            signal.signal(signal.SIGINT, before)
        self.assertEqual(heard, [1])

    def test_those_who_listened_before_still_hear(self):
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = signal.set_wakeup_fd(write)
        handler = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            with calmoe.Model() as model:
                engine = model.engine(threads=1, routing=lambda event: os.kill(os.getpid(), signal.SIGUSR1))
                session = engine.session()
                session.feed("a")
                session.next_token()
            self.assertEqual(signal.set_wakeup_fd(write), write)
            self.assertEqual(os.read(read, 1), bytes([signal.SIGUSR1]))
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGUSR1, handler)
            os.close(read)
            os.close(write)


class Lives(unittest.TestCase):
    def test_any_order(self):
        for order in ("mes", "msp", "ems", "sem", "psme", "emsp"):
            model = calmoe.Model()
            engine = model.engine(threads=1)
            policy = calmoe.Policy(model)
            session = engine.session(policy=policy, max_new_tokens=2)
            session.feed(PROMPT)
            session.generate()
            things = {"m": model, "e": engine, "s": session, "p": policy}
            for which in order:
                things[which].close()
                things[which].close()
            if order != "psme":
                with self.assertRaisesRegex(ValueError, "closed"):
                    session.next_token()
            del model, engine, session, policy, things
        gc.collect()

    def test_only_the_session_is_held(self):
        session = calmoe.Model().engine(threads=1).session(max_new_tokens=4)
        gc.collect()
        session.feed(PROMPT)
        self.assertTrue(session.generate())

    def test_a_policy_lives_as_long_as_its_session(self):
        with calmoe.Model() as model:
            engine = model.engine(threads=1)
            session = engine.session(policy=calmoe.Policy.make(model, measure="softmax", threshold=0.5))
            twin = session.fork()
            session.close()
            gc.collect()
            twin.feed(PROMPT)
            [twin.next_token() for _ in range(8)]

    def test_adapters(self):
        goldens = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
        with calmoe.Model(os.path.join(goldens, "llama.gguf")) as model, model.engine(threads=1) as engine:
            adapter = engine.adapter(os.path.join(goldens, "adapters", "llama"))
            again = engine.adapter(os.path.join(goldens, "adapters", "llama_file", "adapter.gguf"))
            self.assertEqual((adapter.info.kind, again.info.kind), ("peft", "gguf"))
            self.assertEqual(adapter.info.rank, 4)
            with engine.adapter(os.path.join(goldens, "adapters", "llama_prefix")) as prefix:
                self.assertEqual((prefix.info.n_virtual_tokens, adapter.info.n_virtual_tokens), (5, 0))
                behind = engine.session(hash_logits=True, adapters=[prefix])
            plain, tuned = engine.session(hash_logits=True), engine.session(hash_logits=True, adapters=[adapter])
            none = engine.session(hash_logits=True, adapters={adapter: 0.0})
            for session in (plain, tuned, none, behind):
                session.feed("it's new")
                [session.next_token() for _ in range(4)]
            self.assertEqual(none.logit_hash(), plain.logit_hash())
            self.assertNotEqual(tuned.logit_hash(), plain.logit_hash())
            self.assertNotEqual(behind.logit_hash(), plain.logit_hash())
            self.assertEqual(tuned.adapters, [(adapter.info.fingerprint, 1.0)])
            with self.assertRaises(calmoe.InvalidArgument):
                tuned.set_adapters([again])
            del adapter
            gc.collect()
            tuned.next_token()  # it goes on with what it uses
            tuned.rewind(0)
            tuned.set_adapters({again: 0.5})

    def test_cycles_are_collected(self):
        model = calmoe.Model()
        seen = []
        engine = model.engine(threads=1, routing=lambda event: seen.append(engine))
        session = engine.session()
        session.myself = session
        handle = session.handle.pointer
        del session
        gc.collect()
        self.assertNotIn(handle, engine._sessions)

    def test_a_program_that_closes_nothing(self):
        code = ("import calmoe\nm = calmoe.Model()\ne = m.engine(threads=1)\ns = e.session()\ns.feed('a')\n"
                "s.next_token()\nv = s.logits()\n")
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_threads_wait_for_one_another(self):
        with calmoe.Model() as model:
            engine = model.engine(threads=1)
            alone = engine.generate(PROMPT, max_new_tokens=24)
            said = []

            def write():
                said.append(engine.generate(PROMPT, max_new_tokens=24))

            writers = [threading.Thread(target=write) for _ in range(4)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            self.assertEqual(said, [alone] * 4)


class Counting(Base):
    def test_stats(self):
        self.engine.reset_stats()
        session = self.engine.session(max_new_tokens=4)
        session.feed_tokens(self.model.tokenize(PROMPT))
        session.generate()
        stats = self.engine.stats
        self.assertEqual(stats.n_rows, session.n_positions)
        self.assertEqual(stats.n_layers_run, stats.n_rows * self.model.info.n_layers)
        self.assertEqual(stats.n_threads, 1)
        self.assertEqual(self.engine.exit_counts()[-1] if stats.n_exits else 0, 0)
        self.assertGreater(self.engine.phases()["experts"], 0)
        self.assertIn("calmoe_stats_", self.engine.stats_exposition())

    def test_profile(self):
        with self.model.engine(threads=1, profile=True) as engine:
            with self.assertRaises(calmoe.InvalidArgument):
                engine.profile()
            for domain, text in (("c", "int main(int argc, char **argv)\n{"), ("german", "Das Programm wird mit")):
                engine.profile_domain(domain)
                engine.session(max_new_tokens=1).feed_tokens([])
                engine.generate(text, max_new_tokens=8)
            profile = engine.profile()
        self.assertEqual([domain.name for domain in profile.domains], ["c", "german"])
        info = self.model.info
        for domain in profile.domains:
            for layer in domain.tokens:
                self.assertEqual(sum(layer), domain.n_tokens * info.n_experts_used)
        self.assertLess(profile.similarity("c", "german"), 1)
        self.assertAlmostEqual(profile.similarity("c", "c"), 1)
        self.assertGreaterEqual(profile.load(0).peak, 1)
        self.assertLessEqual(len(profile.specialists("c", 3)), 3)
        with self.assertRaisesRegex(KeyError, "russian"):
            profile.load(0, "russian")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "profile.json")
            profile.write(path)
            again = calmoe.Profile(self.model, path)
            self.assertEqual([domain.tokens for domain in again.domains],
                             [domain.tokens for domain in profile.domains])
            again.merge(profile)
            self.assertEqual(again.domains[0].n_tokens, 2 * profile.domains[0].n_tokens)
        self.assertIn("calmoe_profile_", profile.exposition())

    def test_policies(self):
        policy = calmoe.Policy(self.model)
        self.assertTrue(policy.rungs[0].is_proven)
        self.assertGreater(policy.rungs[-1].delta, policy.rungs[0].delta)
        session = self.engine.session(policy=policy, quality=0.05, max_new_tokens=64)
        session.feed(PROMPT)
        session.generate()
        self.assertLessEqual(policy.rungs[session.rung].delta, 0.05)
        self.assertLess(session.depth().layers, self.model.info.n_layers + 1)
        self.assertGreater(session.audit().share, 0)
        self.assertIsNone(self.engine.session(policy=policy, quality=1e-9).rung)

        made = calmoe.Policy.make(self.model, measure="softmax", threshold=0.3, exit_layers=[5])
        self.assertEqual((made.rungs[0].exit_layers, made.rungs[0].is_proven), ((5,), False))
        plain = self.engine.generate(PROMPT, max_new_tokens=32)
        session = self.engine.session(policy=made, lossless="always", max_new_tokens=32)
        session.feed(PROMPT)
        self.assertEqual(session.generate(), plain)
        self.assertGreater(session.speculation().drafted, 0)
        drafting = calmoe.Engine(self.model, threads=1, draft_model=calmoe.Model(self.model.info.path))
        session = drafting.session(lossless="always", max_new_tokens=32)
        session.feed(PROMPT)
        self.assertEqual(session.generate(), plain)
        self.assertEqual(sum(session.speculation().accepted_by), session.speculation().accepted)
        self.assertGreater(session.speculation().accepted_by[3], 0)
        with self.assertRaises(calmoe.InvalidArgument):
            calmoe.Policy.make(self.model, measure="softmax", threshold=7)


class Interface(Base):
    def test_options_without_a_keyword(self):
        """Members of the structs that Python has no keyword for can be given; names that no struct has are refused."""
        self.assertIn("temperature=0.5", repr(calmoe.Sampler(temperature=0.5)))
        for make, member in ((self.model.engine, "n_threads"), (self.engine.session, "policy"),
                             (calmoe.Sampler, "temperature"), (calmoe.Model, "rope_scale")):
            with self.assertRaisesRegex(TypeError, f"no option 'temprature'.*{member}"):
                make(temprature=1)
        with self.model.engine(threads=1, routing_user=7) as engine:
            self.assertTrue(engine.generate(PROMPT, max_new_tokens=2))


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    sys.exit(not result.wasSuccessful())
