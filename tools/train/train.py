#!/usr/bin/env python3
"""Train calmoe-nano on the token streams of prepare.py.

Loss: a weighted sum over all exits, sum_i w_i * NLL_i, by default CALM's, w_i = i/(1+…+L). The last layer is always computed; of the
others, two are drawn each step with probability proportional to w_i, each on a random half of the rows, weighted so that the expectation is that sum.
Plus a load-balancing loss (Switch: experts * sum f*P) over the whole batch, which mixes every domain in every step.

Exits are to say what the last layer says, so part of their target can be its distribution (--distill), and part of its target
theirs (--mutual; deep mutual learning, Zhang et al. 2018). On the model's own greedy answers (--own, made by own_answers.py) there
is no text to learn: exits learn the last layer's distribution alone, where they will be asked. Narrow rows (--narrow) leave out
experts of small weight, by a ratio rule drawn for each; of the answers they read some a second time, to learn what the full width says.

The learning rate follows the clock, not a step count: warm-up, then linear to zero at the end of --minutes.
"""
import argparse, json, math, multiprocessing, os, signal, time

import env
import numpy as np
import torch
import model as M
from own_answers import DOMAINS, OWN


class Stream:
    """Windows of one domain in a new random order and at a new offset every epoch: n + 1 tokens, and which of the last n are text."""
    def __init__(self, path, length, seed):
        self.t, self.n, self.rng, self.todo, self.seen = np.load(path), length, np.random.default_rng(seed), [], 0
    def next(self):
        if not len(self.todo):
            o = int(self.rng.integers(self.n))
            self.todo = list(self.rng.permutation(np.arange(o, len(self.t) - self.n - 1, self.n)))
        a = self.todo.pop(); self.seen += self.n
        return self.t[a:a + self.n + 1].astype(np.int64) & (OWN - 1), self.t[a + 1:a + self.n + 1] < OWN


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
    def state(self): return {"m": self.m, "v": self.v, "step": self.step}


class Workers:
    """Processes with a thread each, which share weights and optimizer; each reads rows of its own."""
    def __init__(self, n, w, opt):
        self.n, self.rank, self.barrier = n, 0, multiprocessing.Barrier(n)
        for t in [*w.values(), *opt.m.values(), *opt.v.values()]: t.share_memory_()
        self.grads = [{x: torch.zeros(p.shape).share_memory_() for x, p in w.items()} for _ in range(n)]
        self.told = torch.zeros(1).share_memory_()
        for r in range(1, n):
            if os.fork() == 0: self.rank = r; break
    def agree(self, value):
        """The first worker's value, once all have come here."""
        if self.rank == 0: self.told.fill_(value)
        self.barrier.wait()
        return self.told.item()
    def mean(self, grads):
        for x, g in grads.items(): self.grads[self.rank][x].copy_(g)
        self.barrier.wait()
        return {x: sum(g[x] for g in self.grads).div_(self.n) for x in grads}


class Batch:
    """The windows of a step: texts, then own answers, of which the last ones stand there again, narrow.

    ids [rows, length + 1]; text [rows, length]: 1 where there is a text's token to learn; ratio [rows]: width rules;
    teacher [rows]: whose last layer is right, each row's own or, of an answer read again, that of the full width."""
    def __init__(self, a, streams, rng):
        own = int(a.own * a.rows + rng.random())
        again = own // 2 if a.narrow else 0
        # Every domain the same number of rows, the rest at random, about 3 % chat.
        pick = DOMAINS * ((a.rows - own) // len(DOMAINS))
        pick += list(rng.choice(DOMAINS, a.rows - own - len(pick)))
        if rng.random() < 0.03 * a.rows: pick[-1] = "chat"
        rows = [streams[d].next() for d in pick + ["own"] * (own - again)]
        windows, is_text = zip(*rows, *rows[len(rows) - again:])
        self.n_texts, self.n_once = len(pick), len(rows)
        self.ids, self.text = torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(is_text)).float()
        self.text[self.n_once:] = 0
        self.teacher = torch.tensor([*range(len(rows)), *range(len(rows) - again, len(rows))])
        narrow = rng.random(a.rows) < a.narrow * self.n_texts / a.rows
        narrow[self.n_texts:self.n_once], narrow[self.n_once:] = False, True
        self.ratio = torch.from_numpy(narrow * rng.uniform(0, 0.8, a.rows)).float()


def exit_losses(cfg, w, batch, states, a, weights, last_share, rng):
    """The weighted loss, and [(layer, nats a token of text)] of the exits that were computed."""
    rows, length = batch.text.shape
    by_row = lambda z: z.view(rows, length, -1)
    flat = lambda z: z.reshape(-1, *z.shape[2:])
    emb, target = w["token_embd.weight"], flat(batch.ids[:, 1:])
    last = M.exit_norm(cfg, w, states[-1])
    teacher = by_row(last.detach())[batch.teacher]
    drawn = rng.choice(cfg.layers - 1, 2, p=weights / weights.sum())     # with replacement; their rows need not be disjoint either

    mutual = torch.full((rows, length), a.mutual)
    mutual[batch.n_once:] = 1                                            # what is read again learns from its teacher alone
    peer = None
    if mutual.any():
        peer = by_row(M.exit_norm(cfg, w, states[drawn[0]]).detach()).clone()
        peer[batch.n_once:] = teacher[batch.n_once:]
        peer = flat(peer)
    nll = M.HeadLoss.apply(last, emb, target, flat((1 - mutual) * batch.text), peer, flat(mutual))
    loss = last_share / len(target) * nll
    told = [(cfg.layers - 1, nll.item() / batch.text.sum().item())]

    for i in drawn:
        half = torch.from_numpy(rng.permutation(rows)[:rows // 2].copy())
        text = (1 - a.distill) * flat(batch.text[half])
        nll = M.HeadLoss.apply(M.exit_norm(cfg, w, flat(by_row(states[i])[half])), emb, flat(batch.ids[half, 1:]), text,
                               flat(teacher[half]) if a.distill or a.own else None, 1 - text)
        loss = loss + (1 - last_share) / 2 / len(text) * nll
        told.append((i, nll.item() / max(1.0, batch.text[half].sum().item())))
    return loss, told


@torch.no_grad()
def check(cfg, w, held, cos, sin):
    """Quick look at held-out windows: bits a byte of the last layer per domain, each exit's agreement with it, and that of ratio 0.5."""
    wb = {n: p.bfloat16() for n, p in w.items()}
    bits, agree, total = {}, torch.zeros(cfg.layers + 1), 0
    for dom, (ids, size) in held.items():
        states, _ = M.forward(cfg, wb, ids[:, :-1], cos, sin)
        logits = [M.exit_norm(cfg, wb, s) @ wb["token_embd.weight"].T for s in states]
        thin, _ = M.forward(cfg, wb, ids[:, :-1], cos, sin, torch.full((len(ids),), 0.5))
        logits.append(M.exit_norm(cfg, wb, thin[-1]) @ wb["token_embd.weight"].T)
        top = [l.argmax(-1) for l in logits]
        nll = torch.nn.functional.cross_entropy(logits[-2].float(), ids[:, 1:].reshape(-1), reduction="sum")
        bits[dom] = round(nll.item() / math.log(2) / size, 3)
        agree += torch.stack([(t == top[-2]).sum() for t in top]); total += top[-1].numel()
    return bits, [round(a, 3) for a in (agree / total).tolist()]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that prepare.py filled; checkpoints go there too")
    ap.add_argument("--minutes", type=float, required=True, help="length of the run; the schedule ends with it")
    ap.add_argument("--rows", type=int, default=16, help="windows in a step (default 16)")
    ap.add_argument("--length", type=int, default=512, help="tokens in a window (default 512); a run may begin with shorter ones, which are cheaper")
    ap.add_argument("--lr-muon", type=float, default=0.02)
    ap.add_argument("--lr-adam", type=float, default=0.003)
    ap.add_argument("--decay", type=float, default=0.01, help="decoupled weight decay, times the learning rate")
    ap.add_argument("--balance", type=float, default=0.01, help="weight of the load-balancing loss")
    ap.add_argument("--exits", help="weights of the exits after layers 1 to L - 1, by commas (default: CALM's, 1, 2, …)")
    ap.add_argument("--last", type=float, help="the last layer's share of the sum of weights (default: CALM's)")
    ap.add_argument("--distill", type=float, default=0.0, help="share of the last layer's distribution in the targets of the other exits")
    ap.add_argument("--mutual", type=float, default=0.0, help="share of an exit's distribution in the target of the last layer")
    ap.add_argument("--own", type=float, default=0.0, help="share of the windows that are taken from tokens/own.npy")
    ap.add_argument("--narrow", type=float, default=0.0, help="share of the windows that are read with fewer experts")
    ap.add_argument("--again", type=float, help="continue DIR/nano.pt with a clock of its own, from this share of the learning rate")
    ap.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, a thread and rows / workers windows each (default: a core each)")
    ap.add_argument("--save-every", type=float, default=600, help="seconds between checkpoints")
    ap.add_argument("--resume", action="store_true", help="continue DIR/nano.pt, with its clock")
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--steps", type=int, default=10**9, help="stop at this one (trial runs)")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(1)                            # before anything starts a pool of threads, which would not survive a fork
    torch.manual_seed(a.seed)
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(f"{a.dir}/tokenizer.json")
    cfg = M.Config(vocab=tok.get_vocab_size(), context=a.length)
    if not a.no_compile: M.compile_parts()
    w = M.init(cfg)
    opt = Optimizer(w, a.lr_muon, a.lr_adam, a.decay)
    start, tokens, first, peak = time.time(), 0, 0, 1.0
    if a.resume or a.again:
        _, w0, c = M.load(f"{a.dir}/nano.pt")
        for n in w: w[n].copy_(w0[n])
        o = c["optimizer"]; opt.m, opt.v, opt.step = o["m"], o["v"], o["step"]
        tokens = c["tokens"]
        if a.again: first, peak = opt.step, a.again
        else: start -= c["used"]; first, peak = c.get("first", 0), c.get("peak", 1.0)
    cos, sin = M.rope_table(cfg, a.length)
    held = {}
    for d in DOMAINS:
        text = "".join(json.loads(l)["text"] + "<|endoftext|>" for l in open(f"{a.dir}/text/{d}.heldout.jsonl"))
        ids = torch.tensor(tok.encode(text).ids)
        k = min(1024, len(ids) - 2) // a.length; gap = (len(ids) - a.length - 1) // k
        rows = torch.stack([ids[i * gap: i * gap + a.length + 1] for i in range(k)])
        size = sum(len(tok.decode(r[1:].tolist(), skip_special_tokens=False).encode()) for r in rows)
        held[d] = (rows, size)
    print(json.dumps({"parameters": sum(p.numel() for p in w.values()), **vars(a)}), flush=True)

    team = Workers(a.workers, w, opt)
    a.rows //= a.workers
    rng = np.random.default_rng(a.seed + opt.step + 7919 * team.rank)
    streams = {d: Stream(f"{a.dir}/tokens/{d}.npy", a.length, int(rng.integers(1 << 30))) for d in [*DOMAINS, "chat", *(["own"] if a.own else [])]}
    L = cfg.layers
    weights = np.array([float(x) for x in a.exits.split(",")]) if a.exits else np.arange(1.0, L)
    last_share = a.last or 2 / (L + 1)
    nll_sum, nll_n, t0, tok0, saved = np.zeros(L), np.zeros(L) + 1e-9, time.time(), tokens, time.time()
    def save(tag):
        M.save(f"{a.dir}/{tag}.tmp", cfg, w, optimizer=opt.state(), used=time.time() - start, tokens=tokens, first=first, peak=peak)
        os.replace(f"{a.dir}/{tag}.tmp", f"{a.dir}/{tag}.pt")
        bits, agree = check(cfg, w, held, cos, sin)
        print(json.dumps({"step": opt.step, "bits_per_byte": bits, "agree": agree}), flush=True)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))            # save and end
    while opt.step < a.steps:
        frac = team.agree(1.0 if stop else (time.time() - start) / (60 * a.minutes))
        if team.rank == 0 and time.time() - saved > a.save_every:
            save("nano"); saved = time.time()
        if frac >= 1: break
        scale = peak * min(1.0, (opt.step - first + 1) / 60) * (1 - frac)
        batch = Batch(a, streams, rng)
        wb = {n: (p.detach().clone() if M.is_float(n) and "gate_inp" in n else p.detach().bfloat16()).requires_grad_() for n, p in w.items()}
        states, routing = M.forward(cfg, wb, batch.ids[:, :-1], cos, sin, batch.ratio)
        loss, told = exit_losses(cfg, wb, batch, states, a, weights, last_share, rng)
        for layer, nll in told: nll_sum[layer] += nll; nll_n[layer] += 1
        balance, worst = 0.0, 1.0
        for e, p in routing:
            f = e.reshape(-1).bincount(minlength=cfg.experts).float() / e.numel()
            worst = min(worst, f.min().item() * cfg.experts)
            balance = balance + cfg.experts * (f * p.mean(0)).sum() / L
        (loss + a.balance * balance).backward()
        opt.update(team.mean({n: p.grad for n, p in wb.items()}), scale, team.rank, team.n)
        tokens += batch.text.numel() * team.n
        if opt.step % 20 == 0 and team.rank == 0:
            now = time.time()
            print(json.dumps({"step": opt.step, "tokens": tokens, "elapsed": round(now - start), "frac": round(frac, 3), "tok_s": round((tokens - tok0) / (now - t0)),
                              "nll": [round(x, 3) for x in (nll_sum / nll_n).tolist()], "balance": round(float(balance.detach()), 3), "least_used": round(worst, 3)}), flush=True)
            nll_sum[:], nll_n[:], t0, tok0 = 0, 1e-9, now, tokens
    if team.rank: return
    save("nano")
    print(json.dumps({"done": opt.step, "tokens": tokens, "minutes": round((time.time() - start) / 60, 1), "epochs": {d: round(s.seen / len(s.t), 2) for d, s in streams.items()}}), flush=True)

if __name__ == "__main__":
    main()
