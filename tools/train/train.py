#!/usr/bin/env python3
"""Train calmoe-nano on the token streams of prepare.py.

Loss: a weighted sum over all exits, sum_i w_i * NLL_i, by default CALM's, w_i = i/(1+…+L). The last layer is always computed; of the
others, two are drawn each step with probability proportional to w_i, each on a random half of the rows, weighted so that the expectation is that sum.
Plus a load-balancing loss (Switch: experts * sum f*P) over the whole batch, which mixes tasks and every domain in every step.

Rows are windows of documents, and exchanges of the tasks one after another, drawn by their weights; of these the answers count in full.
Exits are to say what the last layer says, so part of their target can be its distribution (--distill), and part of its target
theirs (--mutual; deep mutual learning, Zhang et al. 2018). On the model's own greedy answers (--own, made by own_answers.py) there
is no text to learn: exits learn the last layer's distribution alone, where they will be asked. Narrow rows (--narrow) leave out
experts of small weight, by a ratio rule drawn for each. In leaving rows (--leave) tokens leave by the runtime's rule, after layers and at margins
drawn for each row, and those after them read the keys and values that are filled in. Some rows are read a second time in these ways (--again),
to learn what the full depth and width says.

Everything drawn in a step depends on seed, step and worker alone: with the same number of workers a run that was stopped and resumed has the
same bits as one that was not. The learning rate stays, after a warm-up, until --cool lets it fall to zero over so many tokens.
"""
import argparse, ctypes, glob, json, math, multiprocessing, os, signal, sys, time
from dataclasses import asdict

import env
import numpy as np
import torch
import model as M
from own_answers import DOMAINS, OWN
from clean import lines, prompt_text
from prepare import PROMPT

MARKS = OWN | PROMPT


class Stream:
    """Windows of one domain from anywhere: n + 1 marked tokens."""
    def __init__(self, path, length):
        self.t, self.n = np.load(path, mmap_mode="r"), length
    def draw(self, rng):
        a = int(rng.integers(len(self.t) - self.n))
        return np.array(self.t[a:a + self.n + 1])


class Exchanges:
    """Rows of exchanges one after another, each drawn by its weight; --share says how much of them is which task."""
    def __init__(self, path, length, share):
        z = np.load(path)
        self.ids, self.starts, self.n, w, names = z["ids"], z["starts"], length, z["weights"].astype(np.float64), z["names"]
        # A task's share of the exchanges is that of its weights, unless it is given.
        for i, name in enumerate(names):
            if str(name) in share: w[z["tasks"] == i] *= share[str(name)] / w[z["tasks"] == i].sum()
        rest = ~np.isin(z["tasks"], [i for i, name in enumerate(names) if str(name) in share])
        if share and rest.any(): w[rest] *= (1 - sum(share.values())) / w[rest].sum()
        self.sum = np.cumsum(w)
    def draw(self, rng):
        row, size = [], 0
        while size <= self.n:
            i = min(int(np.searchsorted(self.sum, rng.random() * self.sum[-1], side="right")), len(self.sum) - 1)
            row.append(self.ids[self.starts[i]:self.starts[i + 1]]); size += len(row[-1])
        return np.concatenate(row)[:self.n + 1]


# Orthogonalised momentum (Muon): five quintic Newton-Schulz steps in bfloat16 over a stack of matrices.
def orthogonalise(g, steps=5):
    x = g.bfloat16()
    flip = x.shape[-2] > x.shape[-1]
    if flip: x = x.mT
    x = (x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).bfloat16()).contiguous()
    for _ in range(steps):
        a = x @ x.mT
        b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, b, x, beta=3.4445, alpha=1.0)
    return x.mT if flip else x


class Optimizer:
    """Muon for hidden matrices; AdamW for the embedding, norms and routers."""
    def __init__(self, w, lr_muon, lr_adam, decay):
        self.w, self.lr_muon, self.lr_adam, self.decay, self.step = w, lr_muon, lr_adam, decay, 0
        self.muon = [n for n, p in w.items() if n.startswith("blk") and not M.is_float(n)]
        self.adam = [n for n in w if n not in set(self.muon)]
        self.m = {n: torch.zeros_like(p) for n, p in w.items()}
        self.v = {n: torch.zeros_like(w[n]) for n in self.adam}
    @torch.no_grad()
    def update(self, grads, scale, rank=0, workers=1, clip=1.0):
        """One step; of several workers on the same shared tensors each takes a share of the matrices, the first all else."""
        self.step += 1
        momentum = min(0.95, 0.85 + 0.1 * self.step / 300)
        groups = {}
        for n in self.muon[rank::workers]:
            m = self.m[n].lerp_(grads[n].float(), 1 - momentum)
            u = torch.lerp(grads[n].float(), m, momentum)                     # Nesterov
            groups.setdefault(u.shape[-2:], []).append((n, u if u.dim() == 3 else u.unsqueeze(0)))
        for (rows, cols), items in groups.items():
            # Batches of moderate size stay in the cache.
            for a in range(0, len(items), 4):
                part = items[a:a + 4]
                o = orthogonalise(torch.cat([u for _, u in part]))
                at = 0
                for n, u in part:
                    p = self.w[n]; k = u.shape[0]
                    p.mul_(1 - self.lr_muon * scale * self.decay)
                    p.add_(o[at:at + k].float().view_as(p), alpha=-self.lr_muon * scale * max(1, rows / cols) ** 0.5)
                    at += k
        if rank: return
        b1, b2 = 0.9, 0.97
        norm = math.sqrt(sum(grads[n].float().square().sum().item() for n in self.adam))
        k = min(1.0, clip / (norm + 1e-6))
        for n in self.adam:
            g = grads[n].float() * k
            m, v = self.m[n].lerp_(g, 1 - b1), self.v[n].lerp_(g * g, 1 - b2)
            d = (m / (1 - b1 ** self.step)) / ((v / (1 - b2 ** self.step)).sqrt() + 1e-8)
            if "embd" in n: self.w[n].mul_(1 - self.lr_adam * scale * self.decay)
            self.w[n].add_(d, alpha=-self.lr_adam * scale)
    def state(self): return {"m": {n: t.cpu() for n, t in self.m.items()}, "v": {n: t.cpu() for n, t in self.v.items()}, "step": self.step}
    def load(self, o):
        for mine, theirs in ((self.m, o["m"]), (self.v, o["v"])):
            for n in mine: mine[n].copy_(theirs[n])
        self.step = o["step"]


class Workers:
    """Processes with a thread each, which share weights and optimizer; each reads rows of its own. One worker is no process of its own."""
    def __init__(self, n, w, opt):
        self.n, self.rank = n, 0
        if n == 1: return
        self.barrier, first = multiprocessing.Barrier(n), os.getpid()
        for t in [*w.values(), *opt.m.values(), *opt.v.values()]: t.share_memory_()
        self.grads = [{x: torch.zeros(p.shape).share_memory_() for x, p in w.items()} for _ in range(n)]
        self.told = torch.zeros(1, dtype=torch.float64).share_memory_()
        for r in range(1, n):
            if os.fork() == 0:
                self.rank = r
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)             # PR_SET_PDEATHSIG: nobody waits for a first worker that was killed
                if os.getppid() != first: os._exit(1)
                break
    def agree(self, value):
        """The first worker's value, once all have come here."""
        if self.n == 1: return value
        if self.rank == 0: self.told.fill_(value)
        self.barrier.wait()
        return self.told.item()
    def failed(self):
        """Lets the others fail too, who would wait for this one."""
        if self.n > 1: self.barrier.abort()
    def mean(self, grads):
        if self.n == 1: return grads
        for x, g in grads.items(): self.grads[self.rank][x].copy_(g)
        self.barrier.wait()
        return {x: sum(g[x] for g in self.grads).div_(self.n) for x in grads}


class Batch:
    """The windows of a step: documents, tasks, own answers; the last ones stand there again, narrow or leaving.

    ids [rows, length + 1]; count [rows, length]: how much a token counts; hard [rows, length]: 1 where the text is to be learnt, 0 where only
    what a teacher says; ratio [rows]: width rules; leave: M.Leave; teacher [rows]: whose last layer is right, each row's own or, of a row
    read again, that of the row as it is."""
    def __init__(self, a, rows, layers, streams, rng, device):
        share = lambda x: int(x * rows + rng.random())
        again = min(share(a.again), rows // 2)
        own = min(share(a.own), rows - again)
        tasks = min(share(a.tasks), rows - again - own)
        texts = rows - again - own - tasks
        # Every domain the same number of windows, the rest at random.
        pick = DOMAINS * (texts // len(DOMAINS))
        pick += list(rng.choice(DOMAINS, texts - len(pick)))
        marked = np.stack([streams[d].draw(rng) for d in pick + ["tasks"] * tasks + ["own"] * own])
        marked = np.concatenate([marked, marked[len(marked) - again:]])
        self.n_once = rows - again
        self.marked = marked.astype(np.int64)
        said = self.marked[:, 1:]
        count = np.where(said & PROMPT, a.prompts, 1.0)
        hard = (said & OWN == 0) & (np.arange(rows)[:, None] < self.n_once)
        ratio = rng.uniform(0, 0.8, rows) * (rng.random(rows) < a.narrow)
        leaving = rng.random(rows) < a.leave
        plain = np.zeros(rows, bool); plain[texts + tasks:self.n_once] = True
        once_more = np.arange(rows) >= self.n_once
        # Own answers teach, so they are read as they are; what is read again is narrow, leaving, or both.
        how = rng.integers(3, size=rows)
        ratio = np.where(plain, 0, np.where(once_more, rng.uniform(0, 0.8, rows) * (how != 0), ratio))
        leaving = np.where(plain, False, np.where(once_more, how != 1, leaving))
        exits = np.zeros((rows, layers), bool)
        for r in np.flatnonzero(leaving): exits[r, rng.choice(layers - 1, min(layers - 1, int(rng.integers(1, 4))), replace=False)] = True
        # Documents are read up to somewhere, as a prompt is.
        may = np.where(np.arange(rows)[:, None] < texts, np.arange(marked.shape[1] - 1) >= rng.integers(8, marked.shape[1] // 2, rows)[:, None],
                       (self.marked[:, :-1] & PROMPT) == 0)
        move = lambda x: torch.from_numpy(np.ascontiguousarray(x)).to(device)
        self.ids, self.count, self.hard, self.ratio = (move(x) for x in (self.marked & ~MARKS, count.astype(np.float32), hard.astype(np.float32), ratio.astype(np.float32)))
        self.teacher = move(np.r_[0:self.n_once, self.n_once - again:self.n_once])
        self.leave = M.Leave(move(exits), move(may), move(rng.uniform(0.1, 0.95, rows)).float()) if exits.any() else None


def exit_losses(cfg, w, batch, states, a, weights, last_share, rng):
    """The weighted loss, and [(layer, nats a token of text)] of the exits that were computed."""
    rows, length = batch.count.shape
    by_row = lambda z: z.view(rows, length, -1)
    flat = lambda z: z.reshape(-1, *z.shape[2:])
    emb, target = w["token_embd.weight"], flat(batch.ids[:, 1:])
    last = M.exit_norm(cfg, w, states[-1])
    teacher = by_row(last.detach())[batch.teacher]
    drawn = rng.choice(cfg.layers - 1, 2, p=weights / weights.sum())     # with replacement; their rows need not be disjoint either
    told = []
    def head(layer, states, ids, count, hard, taught, teacher, share):
        """One exit's loss: taught [rows, length] of a token's target is the teacher's, of the rest what is hard is the text's."""
        text = (1 - taught) * hard
        nll = M.HeadLoss.apply(states, emb, ids, flat(count * text), teacher, flat(count * taught))
        told.append((layer, nll.item() / max(1e-6, (count * text).sum().item())))
        return share / len(ids) * nll

    # The last layer: what is read again learns from its teacher alone, the rest from one of the exits.
    taught = torch.full_like(batch.count, a.mutual)
    taught[batch.n_once:] = 1
    peer = None
    if a.mutual or batch.n_once < rows:
        peer = by_row(M.exit_norm(cfg, w, states[drawn[0]]).detach()).clone()
        peer[batch.n_once:] = teacher[batch.n_once:]
        peer = flat(peer)
    loss = head(cfg.layers - 1, last, target, batch.count, batch.hard, taught, peer, last_share)
    for i in drawn:
        half = torch.from_numpy(rng.permutation(rows)[:rows // 2].copy()).to(target.device)
        hard = batch.hard[half]
        taught = 1 - hard * (1 - a.distill)
        needed = a.distill or a.own or a.again
        loss = loss + head(i, M.exit_norm(cfg, w, flat(by_row(states[i])[half])), flat(batch.ids[half, 1:]), batch.count[half], hard, taught,
                           flat(teacher[half]) if needed else None, (1 - last_share) / 2)
    return loss, told


@torch.no_grad()
def check(cfg, w, held, cos, sin, dtype):
    """Quick look at held-out windows: per domain bits a byte, per task nats a token of the answers, of the last layer; over all, each exit's agreement
    with it, that of ratio 0.5, and that of what comes out when tokens leave at a margin of 0.5 after any layer."""
    wb = {n: p.to(torch.float32 if "gate_inp" in n else dtype) for n, p in w.items()}
    cost, agree, total = {}, torch.zeros(cfg.layers + 2), 0
    for name, (ids, size) in held.items():
        marks, ids = ids[:, 1:] & PROMPT == 0, ids & ~MARKS
        leave = M.Leave(torch.ones(len(ids), cfg.layers, dtype=torch.bool, device=ids.device), marks, torch.full((len(ids),), 0.5, device=ids.device))
        runs = [M.forward(cfg, wb, ids[:, :-1], cos, sin)[0],
                M.forward(cfg, wb, ids[:, :-1], cos, sin, torch.full((len(ids),), 0.5, device=ids.device))[0][-1:],
                M.forward(cfg, wb, ids[:, :-1], cos, sin, None, leave)[0][-1:]]
        keep = marks.reshape(-1)
        logits = [M.exit_norm(cfg, wb, s)[keep].float() @ wb["token_embd.weight"].float().T for run in runs for s in run]
        full = logits[cfg.layers - 1]
        nll = torch.nn.functional.cross_entropy(full, ids[:, 1:].reshape(-1)[keep], reduction="sum").item()
        cost[name] = round(nll / math.log(2) / size if size else nll / len(full), 3)
        agree += torch.stack([(l.argmax(-1) == full.argmax(-1)).sum() for l in logits]).cpu(); total += len(full)
    return cost, [round(x, 3) for x in (agree / total).tolist()]


def held_out(a, tok, length):
    """{name: (marked windows, their bytes, or None for tasks)}."""
    held = {}
    for d in DOMAINS:
        text = "".join(json.loads(l)["text"] + "<|endoftext|>" for l in open(f"{a.dir}/text/{d}.heldout.jsonl"))
        ids = torch.tensor(tok.encode(text[:60_000]).ids)
        k = min(1024, len(ids) - 2) // length; gap = (len(ids) - length - 1) // k
        rows = torch.stack([ids[i * gap: i * gap + length + 1] for i in range(k)])
        held[d] = (rows, sum(len(tok.decode(r[1:].tolist(), skip_special_tokens=False).encode()) for r in rows))
    for path in sorted(glob.glob(f"{a.dir}/tasks/*.heldout.jsonl")):
        items, row = list(lines(path)), []
        if not items: continue
        task = items[0]["task"]
        np.random.default_rng(1).shuffle(items)
        for d in items[:100]:
            row += [t | PROMPT for t in tok.encode(prompt_text(d["user"])).ids] + tok.encode(d["answer"] + "<|im_end|>").ids + [t | PROMPT for t in tok.encode("\n<|endoftext|>").ids]
        n = min(4, (len(row) - 1) // length)
        if n: held[task] = (torch.tensor([row[i * length:(i + 1) * length + 1] for i in range(n)]), None)
    return held


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that prepare.py filled")
    ap.add_argument("run", help="the folder of checkpoints: NAME.pt is written there and, if it is there, gone on from")
    ap.add_argument("--name", default="nano", help="of the checkpoint (default nano)")
    ap.add_argument("--start", help="checkpoint to begin with where there is no NAME.pt, for instance to cool a copy")
    ap.add_argument("--shape", default="", help="what differs from the usual shape, for instance layers=8,experts=48,used=8,width=48")
    ap.add_argument("--rows", type=int, default=24, help="windows in a step (default 24)")
    ap.add_argument("--length", type=int, default=256, help="tokens in a window (default 256)")
    ap.add_argument("--tasks", type=float, default=0.6, help="share of the windows that are tasks (default 0.6)")
    ap.add_argument("--share", default="", help="share of a task among the exchanges, for instance what=0.2,which=0.1 (default: by weights)")
    ap.add_argument("--prompts", type=float, default=0.1, help="how much a question's token counts beside an answer's (default 0.1)")
    ap.add_argument("--lr-muon", type=float, default=0.02)
    ap.add_argument("--lr-adam", type=float, default=0.003)
    ap.add_argument("--decay", type=float, default=0.01, help="decoupled weight decay, times the learning rate")
    ap.add_argument("--warm", type=int, default=60, help="steps until the learning rate is whole (default 60)")
    ap.add_argument("--cool", type=float, help="tokens over which the learning rate falls to zero, from the checkpoint on; then the run ends")
    ap.add_argument("--balance", type=float, default=0.03, help="weight of the load-balancing loss (default 0.03)")
    ap.add_argument("--exits", help="weights of the exits after layers 1 to L - 1, by commas (default: CALM's, 1, 2, …)")
    ap.add_argument("--last", type=float, help="the last layer's share of the sum of weights (default: CALM's)")
    ap.add_argument("--distill", type=float, default=0.0, help="share of the last layer's distribution in the targets of the other exits")
    ap.add_argument("--mutual", type=float, default=0.0, help="share of an exit's distribution in the target of the last layer")
    ap.add_argument("--own", type=float, default=0.0, help="share of the windows that are taken from tokens/own.npy")
    ap.add_argument("--narrow", type=float, default=0.0, help="share of the windows that are read with fewer experts")
    ap.add_argument("--leave", type=float, default=0.0, help="share of the windows in which tokens leave early")
    ap.add_argument("--again", type=float, default=0.0, help="share of the windows that are others read again, narrow or leaving")
    ap.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, a thread and rows / workers windows each (default: a core each)")
    ap.add_argument("--device", default="cpu", help="cpu, or cuda: then one worker")
    ap.add_argument("--float32", action="store_true", help="products in float32 (default: bfloat16)")
    ap.add_argument("--save-every", type=float, default=600, help="seconds between checkpoints")
    ap.add_argument("--check-every", type=int, default=500, help="steps between looks at held-out text")
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--steps", type=int, default=10**9, help="stop at this one (trial runs)")
    ap.add_argument("--minutes", type=float, default=1e9, help="stop then, with a checkpoint (for instance on a borrowed machine)")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    if a.device != "cpu": a.workers = 1
    else: torch.set_num_threads(1)                      # before anything starts a pool of threads, which would not survive a fork
    device, dtype, begun = torch.device(a.device), torch.float32 if a.float32 else torch.bfloat16, time.time()
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(f"{a.dir}/tokenizer.json")
    cfg = M.Config(vocab=tok.get_vocab_size(), context=max(512, a.length), **{k: int(v) for k, v in (x.split("=") for x in a.shape.split(",") if x)})
    os.makedirs(a.run, exist_ok=True)
    mine = f"{a.run}/{a.name}.pt"
    came = mine if os.path.exists(mine) else a.start
    tokens, cool = 0, [0, a.cool or 0]                  # cooled from how many tokens on, and over how many
    if came: cfg, w, c = M.load(came)
    else: w = M.init(cfg, a.seed)
    w = {n: t.to(device) for n, t in w.items()}
    if not a.no_compile: M.compile_parts()
    opt = Optimizer(w, a.lr_muon, a.lr_adam, a.decay)
    if came:
        opt.load(c["optimizer"]); tokens = c["tokens"]
        cool = c["cool"] if c.get("cool", [0, 0])[1] and not (a.cool and came != mine) else [tokens, a.cool or 0]
    first, L = opt.step, cfg.layers
    cos, sin = (t.to(device) for t in M.rope_table(cfg, a.length))
    held = {n: (ids.to(device), size) for n, (ids, size) in held_out(a, tok, a.length).items()}
    print(json.dumps({"parameters": sum(p.numel() for p in w.values()), "step": opt.step, "tokens": tokens, "cool": cool, **asdict(cfg), **vars(a)}), flush=True)

    team = Workers(a.workers, w, opt)
    sys.excepthook = lambda *error: (team.failed(), sys.__excepthook__(*error))
    rows = a.rows // a.workers
    streams = {d: Stream(f"{a.dir}/tokens/{d}.npy", a.length) for d in [*DOMAINS, *(["own"] if a.own else [])]}
    streams["tasks"] = Exchanges(f"{a.dir}/tokens/tasks.npz", a.length, {k: float(v) for k, v in (x.split("=") for x in a.share.split(",") if x)})
    weights = np.array([float(x) for x in a.exits.split(",")]) if a.exits else np.arange(1.0, L)
    last_share = a.last or 2 / (L + 1)
    nll_sum, nll_n, t0, tok0, saved, left, tokens0 = np.zeros(L), np.zeros(L) + 1e-9, time.time(), tokens, time.time(), [0, 0], tokens
    def save():
        M.save(mine + ".tmp", cfg, w, optimizer=opt.state(), tokens=tokens, cool=cool)
        os.replace(mine + ".tmp", mine)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))            # save and end
    while True:
        fallen = (tokens - cool[0]) / cool[1] if cool[1] else 0.0
        over = stop or fallen >= 1 or opt.step >= a.steps or time.time() - begun > 60 * a.minutes
        if team.agree(float(bool(over))): break
        if team.rank == 0 and time.time() - saved > a.save_every: save(); saved = time.time()
        if team.rank == 0 and opt.step % a.check_every == 0 and opt.step > first:
            cost, agree = check(cfg, w, held, cos, sin, dtype)
            print(json.dumps({"step": opt.step, "tokens": tokens, "heldout": cost, "agree": agree}), flush=True)
        rng = np.random.default_rng([a.seed, opt.step, team.rank])
        batch = Batch(a, rows, L, streams, rng, device)
        wb = {n: (p.detach().clone() if "gate_inp" in n else p.detach().to(dtype, copy=True)).requires_grad_() for n, p in w.items()}
        states, routing = M.forward(cfg, wb, batch.ids[:, :-1], cos, sin, batch.ratio, batch.leave)
        loss, told = exit_losses(cfg, wb, batch, states, a, weights, last_share, rng)
        for layer, nll in told: nll_sum[layer] += nll; nll_n[layer] += 1
        balance, worst = 0.0, 1.0
        for e, p in routing:
            f = e.reshape(-1).bincount(minlength=cfg.experts).float() / max(1, e.numel())
            worst = min(worst, f.min().item() * cfg.experts)
            balance = balance + cfg.experts * (f * p.sum(0) / max(1, len(p))).sum() / L
        (loss + a.balance * balance).backward()
        if batch.leave is not None:
            there = sum(len(p) for _, p in routing)
            left[0] += L * batch.count.numel() - there; left[1] += L * batch.count.numel()
        scale = min(1.0, (opt.step + 1) / a.warm) * (1 - fallen)
        opt.update(team.mean({n: p.grad for n, p in wb.items()}), scale, team.rank, team.n)
        tokens += batch.count.numel() * team.n
        if opt.step % 20 == 0 and team.rank == 0:
            now = time.time()
            print(json.dumps({"step": opt.step, "tokens": tokens, "elapsed": round(now - begun), "cpu": round(time.process_time(), 1), "tok_s": round((tokens - tok0) / (now - t0)),
                              "tok_cpu_s": round((tokens - tokens0) / team.n / time.process_time()),
                              "nll": [round(x, 3) for x in (nll_sum / nll_n).tolist()], "balance": round(float(balance.detach()), 3), "least_used": round(worst, 3),
                              "skipped": round(left[0] / max(1, left[1]), 3)}), flush=True)
            nll_sum[:], nll_n[:], t0, tok0, left = 0, 1e-9, now, tokens, [0, 0]
    if team.rank: os._exit(0)
    save()
    cost, agree = check(cfg, w, held, cos, sin, dtype)
    print(json.dumps({"done": opt.step, "tokens": tokens, "cpu": round(time.process_time(), 1), "minutes": round((time.time() - begun) / 60, 1), "heldout": cost, "agree": agree}), flush=True)

if __name__ == "__main__":
    main()
