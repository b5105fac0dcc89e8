"""calmoe-nano in torch: the published qwen3moe architecture, with an exit after every layer.

Weights live in a plain dict of float32 tensors under their GGUF names ("blk.0.attn_q.weight" …), matrices as rows × columns
(out × in), experts stacked. The forward pass takes a dict of the same names in bfloat16 (training) or float32 (evaluation), on any device.
"""
import math
from dataclasses import dataclass, asdict
import torch
import torch.nn.functional as F


@dataclass
class Config:
    vocab: int = 5120
    embd: int = 256
    layers: int = 10
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 24
    used: int = 4
    width: int = 96          # of one expert; a multiple of 32, so that Q8_0 fits
    context: int = 512
    rope_base: float = 10000.0
    eps: float = 1e-6


def init(cfg: Config, seed=0):
    g = torch.Generator().manual_seed(seed)
    n = lambda *s, std: torch.randn(*s, generator=g) * std
    d, hd, q, kv = cfg.embd, cfg.head_dim, cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
    out = 0.5 / math.sqrt(2 * cfg.layers)            # projections that write into the residual stream start small
    w = {"token_embd.weight": n(cfg.vocab, d, std=0.02), "output_norm.weight": torch.ones(d)}
    for i in range(cfg.layers):
        b = f"blk.{i}."
        w |= {b + "attn_norm.weight": torch.ones(d), b + "ffn_norm.weight": torch.ones(d),
              b + "attn_q_norm.weight": torch.ones(hd), b + "attn_k_norm.weight": torch.ones(hd),
              b + "attn_q.weight": n(q, d, std=d ** -0.5), b + "attn_k.weight": n(kv, d, std=d ** -0.5),
              b + "attn_v.weight": n(kv, d, std=d ** -0.5), b + "attn_output.weight": n(d, q, std=out * q ** -0.5),
              b + "ffn_gate_inp.weight": n(cfg.experts, d, std=0.02),
              b + "ffn_gate_exps.weight": n(cfg.experts, cfg.width, d, std=d ** -0.5),
              b + "ffn_up_exps.weight": n(cfg.experts, cfg.width, d, std=d ** -0.5),
              b + "ffn_down_exps.weight": n(cfg.experts, d, cfg.width, std=out * cfg.width ** -0.5)}
    return w


def rms(x, w, eps):
    h = x.float()
    return (h * torch.rsqrt(h.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * w


def rope_table(cfg, length):
    f = cfg.rope_base ** (-torch.arange(0, cfg.head_dim, 2) / cfg.head_dim)
    a = torch.outer(torch.arange(length), f)
    return torch.cat([a.cos()] * 2, -1), torch.cat([a.sin()] * 2, -1)      # [length, head_dim]


def rotate(x, cos, sin):                                                   # NEOX pairs (i, i + head_dim/2)
    a, b = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-b, a], -1) * sin).to(x.dtype)


def qkv(x, norm, wq, wk, wv, qn, kn, cos, sin, heads: int, kv_heads: int, eps: float):
    """Queries (already divided by sqrt(head_dim)), keys and values, each [rows * heads, length, head_dim]."""
    r, t, _ = x.shape
    hd, g = qn.shape[0], heads // kv_heads
    h = rms(x, norm, eps)
    q = rotate(rms((h @ wq.T).view(r, t, heads, hd), qn, eps).transpose(1, 2), cos, sin) * hd ** -0.5
    k = rotate(rms((h @ wk.T).view(r, t, kv_heads, hd), kn, eps).transpose(1, 2), cos, sin)
    v = (h @ wv.T).view(r, t, kv_heads, hd).transpose(1, 2)
    flat = lambda z, n: z.repeat_interleave(n, 1).reshape(r * heads, t, hd).contiguous()
    return flat(q, 1), flat(k, g), flat(v, g)


# Per-head norms bound the scores, so the exponential needs no running maximum.
def scores(s, mask):
    e = torch.exp(s.float().clamp(max=80)) * mask
    return e.to(s.dtype), e.sum(-1, keepdim=True)


def scores_back(e, dp, d, total):
    return (e.float() * (dp.float() - d) * (1 / total)).to(e.dtype)


class Causal(torch.autograd.Function):
    """Causal attention in blocks of 256 queries: on CPUs three times as fast as the library's backward pass."""
    @staticmethod
    def forward(ctx, q, k, v, mask):
        o, saved, t = torch.empty_like(q), [], q.shape[1]
        ctx.blocks = [(a, min(a + 256, t)) for a in range(0, t, 256)]
        for a, b in ctx.blocks:
            e, total = FN["scores"](torch.bmm(q[:, a:b].contiguous(), k[:, :b].contiguous().mT), mask[a:b, :b])
            o[:, a:b] = torch.bmm(e, v[:, :b].contiguous()) / total
            saved += [e, total]
        ctx.save_for_backward(q, k, v, o, *saved)
        return o

    @staticmethod
    def backward(ctx, do):
        q, k, v, o, *saved = ctx.saved_tensors
        do = do.contiguous()
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        d = (do * o).float().sum(-1, keepdim=True)
        for i, (a, b) in enumerate(ctx.blocks):
            e, total = saved[2 * i: 2 * i + 2]
            qb, kb, vb, dob = (z.contiguous() for z in (q[:, a:b], k[:, :b], v[:, :b], do[:, a:b]))
            ds = FN["scores_back"](e, torch.bmm(dob, vb.mT), d[:, a:b].contiguous(), total)
            dq[:, a:b] = torch.bmm(ds, kb)
            dk[:, :b] += torch.bmm(ds.mT, qb)
            dv[:, :b] += torch.bmm(e.mT, (dob / total).to(e.dtype))
        return dq, dk, dv, None


def attend(o, wo, x, here, heads: int):               # here [rows, length, 1]: 0 where a token left before this layer
    r, t, _ = x.shape
    return x + here * (o.view(r, heads, t, -1).transpose(1, 2).reshape(r, t, -1) @ wo.T)


def route(x, norm, wg, ratio, eps, used: int):
    """Normed input, expert ids and weights [tokens, used], all probabilities; float32 router.

    Weights below ratio [tokens, 1] times a token's largest are 0: the runtime's width rule of that name."""
    h = rms(x, norm, eps)
    p = (h.float() @ wg.float().T).softmax(-1)
    w, ids = p.topk(used, -1)
    w = w * (w >= ratio * w[:, :1])
    return h, ids, w / w.sum(-1, keepdim=True), p


def act(h, wt):                                    # silu(gate) * up, times the routing weight
    g, u = h.float().chunk(2, -1)
    return (F.silu(g) * u * wt).to(h.dtype)


def act_back(h, wt, d):
    """Gradients of act for d = its output's gradient: of h, of wt, and the output once more."""
    g, u = h.float().chunk(2, -1)
    s = torch.sigmoid(g)
    d = d.float()
    a = g * s * u
    dh = torch.cat([d * wt * u * s * (1 + g * (1 - s)), d * wt * g * s], -1)
    return dh.to(h.dtype), (d * a).sum(-1), (a * wt).to(h.dtype)


class Experts(torch.autograd.Function):
    """Tokens grouped by expert once, one product per expert; gradients written out, so nothing is concatenated.

    In large batches every group is padded to a multiple of 64 rows (of weight zero): the matrix library compiles a kernel for each new shape."""
    @staticmethod
    def forward(ctx, x, ids, wt, w13, w2):
        n, k = ids.shape
        flat = ids.reshape(-1)
        order = flat.argsort(stable=True)
        count = flat.bincount(minlength=w13.shape[0])
        pad = 64 if n * k > 4096 else 1
        padded = (count + pad - 1) // pad * pad
        ends = padded.cumsum(0)
        place = torch.arange(n * k, device=x.device) + (ends - padded - count.cumsum(0) + count)[flat[order]]     # of each routed token
        token = torch.zeros(int(ends[-1]), dtype=torch.long, device=x.device); token[place] = order // k
        ws = wt.new_zeros(len(token), 1); ws[place] = wt.reshape(-1)[order].unsqueeze(1)
        inv = torch.empty_like(order); inv[order] = place
        ends = ends.tolist()
        spans = [(a, b, e) for e, (a, b) in enumerate(zip([0] + ends[:-1], ends)) if b > a]
        xs = x[token]
        h = xs.new_empty(len(token), w13.shape[1])
        for a, b, e in spans: torch.mm(xs[a:b], w13[e].T, out=h[a:b])
        av = FN["act"](h, ws)
        y = torch.empty_like(xs)
        for a, b, e in spans: torch.mm(av[a:b], w2[e].T, out=y[a:b])
        ctx.save_for_backward(xs, ws, h, token, inv, w13, w2)
        ctx.spans = spans
        return y[inv].view(n, k, -1).sum(1)

    @staticmethod
    def backward(ctx, dy):
        xs, ws, h, token, inv, w13, w2 = ctx.saved_tensors
        n, k = dy.shape[0], len(inv) // dy.shape[0]
        dys = dy[token]
        da = h.new_empty(h.shape[0], w2.shape[2])
        for a, b, e in ctx.spans: torch.mm(dys[a:b], w2[e], out=da[a:b])
        dh, dw, av = FN["act_back"](h, ws, da)
        dxs = torch.empty_like(xs)
        dw13, dw2 = torch.zeros_like(w13), torch.zeros_like(w2)
        for a, b, e in ctx.spans:
            torch.mm(dys[a:b].T, av[a:b], out=dw2[e])
            torch.mm(dh[a:b], w13[e], out=dxs[a:b])
            torch.mm(dh[a:b].T, xs[a:b], out=dw13[e])
        return dxs[inv].view(n, k, -1).sum(1), None, dw[inv].view(n, k), dw13, dw2


class HeadLoss(torch.autograd.Function):
    """Sum of the tokens' losses at one exit, in chunks, with its gradients computed on the way.

    A token's target is text * (the text's token) + taught * (the teacher's distribution), with text and taught of [tokens];
    teacher: detached normed states for the same tokens, or None. Returned is the loss against the text alone, weighted by text."""
    @staticmethod
    def forward(ctx, h, w, target, text, teacher, taught):
        dh = torch.empty_like(h)
        dw = torch.zeros(w.shape, device=w.device)
        loss = 0.0
        for a in range(0, h.shape[0], 1024):
            hc, tc, share = h[a:a + 1024], target[a:a + 1024].unsqueeze(1), text[a:a + 1024].unsqueeze(1)
            p, nll = FN["ce"](hc @ w.T, tc, share)
            loss += nll
            if teacher is None:
                p *= share
            else:
                p = FN["lean"](p, teacher[a:a + 1024] @ w.T, share, taught[a:a + 1024].unsqueeze(1))
            p.scatter_add_(1, tc, -share)
            p = p.to(h.dtype)
            torch.mm(p, w, out=dh[a:a + 1024])
            dw += p.T @ hc
        ctx.save_for_backward(dh, dw)
        return loss

    @staticmethod
    def backward(ctx, g):
        dh, dw = ctx.saved_tensors
        return dh * g.to(dh.dtype), (dw * g).to(dh.dtype), None, None, None, None


def ce(logits, target, share):
    l = logits.float()
    lse = l.logsumexp(-1, keepdim=True)
    return (l - lse).exp(), ((lse - l.gather(1, target)) * share).sum()


def lean(p, logits, share, taught):                # gradient of both parts, but for the text's token
    return p * (share + taught) - taught * torch.softmax(logits.float(), -1)


FN = {"qkv": qkv, "scores": scores, "scores_back": scores_back, "attend": attend, "route": route, "act": act, "act_back": act_back, "ce": ce, "lean": lean, "rms": rms}

def compile_parts():
    """The bandwidth-bound parts, fused; the products stay with the library."""
    import torch._inductor.config as inductor
    inductor.cpp.dynamic_threads = True
    for n in FN: FN[n] = torch.compile(FN[n], dynamic=n in ("act", "act_back"))


@dataclass
class Leave:
    """Which tokens may leave early, and when: by the runtime's rule, the margin between the two likeliest tokens.

    exits [rows, layers] (a row asks after these layers), may [rows, length] (an answer's tokens: prompts are read at full depth),
    margin [rows] (p1 - p2 at which a token leaves). Whoever has left keeps its state, and the layers above make its keys and values
    from that, as the runtime fills them in: so later tokens read here what they will read there."""
    exits: torch.Tensor
    may: torch.Tensor
    margin: torch.Tensor

    @torch.no_grad()
    def who(self, layer, cfg, w, x, here):
        """Indices [n] of the tokens that leave after this layer."""
        ask = (self.exits[:, layer, None] & self.may & (here.view(self.may.shape) > 0)).view(-1).nonzero().squeeze(1)
        if not len(ask): return ask
        logits = rms(x[ask], w["output_norm.weight"], cfg.eps) @ w["token_embd.weight"].T
        best = logits.float().softmax(-1).topk(2, -1).values
        return ask[best[:, 0] - best[:, 1] >= self.margin[ask // self.may.shape[1]]]


def forward(cfg, w, ids, cos, sin, ratio=None, leave=None):
    """Residual stream after every layer [layers] of [tokens, embd], and per layer (expert ids, probabilities) of the tokens there.

    ratio [rows]: of each row's width rule, 0 (and None) = all experts. leave: None = nobody leaves."""
    r, t = ids.shape
    dev = ids.device
    ratio = torch.zeros(r * t, 1, device=dev) if ratio is None else ratio.repeat_interleave(t).unsqueeze(1)
    x = F.embedding(ids, w["token_embd.weight"])
    here, stay = torch.ones(r, t, 1, dtype=x.dtype, device=dev), None          # stay: indices of those there, None for all
    mask = torch.ones(t, t, device=dev).tril()
    states, routing = [], []
    for i in range(cfg.layers):
        g = lambda n: w[f"blk.{i}.{n}.weight"]
        q, k, v = FN["qkv"](x, g("attn_norm"), g("attn_q"), g("attn_k"), g("attn_v"), g("attn_q_norm"), g("attn_k_norm"),
                            cos[:t], sin[:t], cfg.heads, cfg.kv_heads, cfg.eps)
        x = FN["attend"](Causal.apply(q, k, v, mask), g("attn_output"), x, here, cfg.heads)
        h, e, wt, p = FN["route"](x.view(r * t, -1), g("ffn_norm"), g("ffn_gate_inp"), ratio, cfg.eps, cfg.used)
        w13 = torch.cat([g("ffn_gate_exps"), g("ffn_up_exps")], 1)
        if stay is None:
            flat = x.view(r * t, -1) + Experts.apply(h, e, wt, w13, g("ffn_down_exps"))
        else:
            e, p = e[stay], p[stay]
            flat = x.view(r * t, -1).index_add(0, stay, Experts.apply(h[stay], e, wt[stay], w13, g("ffn_down_exps")))
        x = flat.view(r, t, -1)
        states.append(flat); routing.append((e, p))
        if leave is not None and i + 1 < cfg.layers:
            gone = leave.who(i, cfg, w, flat, here)
            if len(gone):
                here = here.clone(); here.view(-1)[gone] = 0
                stay = here.view(-1).nonzero().squeeze(1)
    return states, routing


def exit_norm(cfg, w, state):
    return FN["rms"](state, w["output_norm.weight"], cfg.eps)


def is_float(name):                                   # tensors that stay float32 in the file
    return name.endswith("norm.weight") or "ffn_gate_inp" in name


def save(path, cfg, w, **more):
    torch.save({"config": asdict(cfg), "weights": {n: t.cpu() for n, t in w.items()}, **more}, path)


def load(path):
    """Config, weights, and the rest of a checkpoint."""
    c = torch.load(path, map_location="cpu", weights_only=True)
    return Config(**c["config"]), c["weights"], c


def load_gguf(path):
    """Config and float32 weights of a GGUF file: what is shipped, Q8_0 rounding included."""
    import gguf
    r = gguf.GGUFReader(path)
    v = lambda k: r.fields["qwen3moe." + k].contents()
    cfg = Config(vocab=v("vocab_size"), embd=v("embedding_length"), layers=v("block_count"), heads=v("attention.head_count"), kv_heads=v("attention.head_count_kv"),
                 head_dim=v("attention.key_length"), experts=v("expert_count"), used=v("expert_used_count"), width=v("expert_feed_forward_length"),
                 context=v("context_length"), rope_base=v("rope.freq_base"), eps=v("attention.layer_norm_rms_epsilon"))
    return cfg, {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in r.tensors}
