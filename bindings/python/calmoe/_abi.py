"""The C interface of calmoe, as ctypes knows it. Made from include/calmoe/*.h by make_abi.py: do not edit.

Handles such as calmoe_model are c_void_p; everything else has the header's name, type and order.
"""
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64,
                    c_size_t, c_ubyte, c_uint, c_uint64, c_void_p)

VERSION = "0.1.0"

CALMOE_OK = 0
CALMOE_END = 1
CALMOE_INVALID_ARGUMENT = 2
CALMOE_NO_MEMORY = 3
CALMOE_IO = 4
CALMOE_BAD_FILE = 5
CALMOE_UNSUPPORTED = 6
CALMOE_FULL = 7
CALMOE_CANCELLED = 8
CALMOE_SYSTEM = 9
CALMOE_NOT_FINITE = 10
CALMOE_PIN_NO = 0
CALMOE_PIN_YES = 1
CALMOE_PIN_AUTO = 2
CALMOE_DISK_AUTO = 0
CALMOE_DISK_CACHED = 1
CALMOE_DISK_DIRECT = 2
CALMOE_LOGITS_NONE = 0
CALMOE_LOGITS_LAST = 1
CALMOE_LOGITS_ALL = 2
CALMOE_MAX_EXITS = 16
CALMOE_AUDIT_WHERE_PROVEN = 0
CALMOE_AUDIT_REQUIRED = 1
CALMOE_AUDIT_NEVER = 2
CALMOE_LOSSLESS_OFF = 0
CALMOE_LOSSLESS_WHERE_FASTER = 1
CALMOE_LOSSLESS_ALWAYS = 2
CALMOE_DRAFTS_BY_EXITS = 0
CALMOE_DRAFTS_BY_LOOKUP = 1
CALMOE_DRAFTS_BY_FURTHER = 2
CALMOE_DRAFTS_BY_MODEL = 3
CALMOE_N_DRAFT_KINDS = 4
CALMOE_MAX_ADAPTERS = 16
CALMOE_MAX_DELTAS = 32
CALMOE_COSTS_TIME = 0
CALMOE_COSTS_BYTES = 1
CALMOE_RIVAL_DEPTH = 0
CALMOE_RIVAL_WIDTH = 1
CALMOE_RIVAL_STATIC = 2
CALMOE_N_RIVALS = 3
CALMOE_ANSWER_TEXT = 0
CALMOE_ANSWER_REASONING = 1
CALMOE_ANSWER_CALL_BEGIN = 2
CALMOE_ANSWER_CALL_ARGUMENTS = 3
CALMOE_ANSWER_CALL_END = 4
CALMOE_PHASE_PROJECT = 0
CALMOE_PHASE_ATTEND = 1
CALMOE_PHASE_ROUTE = 2
CALMOE_PHASE_EXPERTS = 3
CALMOE_PHASE_HEAD = 4
CALMOE_PHASE_CHECKS = 5
CALMOE_PHASE_FILL = 6
CALMOE_PHASE_OTHER = 7
CALMOE_N_PHASES = 8
CALMOE_MAX_NODES = 64
CALMOE_TOKENIZE_BOS = 1
CALMOE_TOKENIZE_SPECIAL = 2
CALMOE_MAX_LEVELS = 8
CALMOE_REUSE_BINS = 16
CALMOE_PLACE_PINNED = 0
CALMOE_PLACE_SLICED = 1
CALMOE_PLACE_REPLICATED = 2
CALMOE_PLACE_STREAMED = 3
CALMOE_RANK_EXPERTS_QUICKER = 0
CALMOE_RANK_EXPERTS_CUT = 1
CALMOE_RANK_EXPERTS_WHOLE = 2
CALMOE_TENSOR_KEPT = 0
CALMOE_TENSOR_UNCHANGED = 1
CALMOE_TENSOR_QUANTIZED = 2
CALMOE_TENSOR_CONVERTED = 3
CALMOE_TENSOR_FINER = 4
CALMOE_TENSOR_FALLBACK = 5
CALMOE_N_TENSOR_FATES = 6
CALMOE_QUANTIZED_REFUSE = 0
CALMOE_QUANTIZED_KEEP = 1
CALMOE_QUANTIZED_CONVERT = 2
CALMOE_NORM_NONE = 0
CALMOE_NORM_HEADS = 1
CALMOE_NORM_WHOLE = 2

calmoe_log_fn = CFUNCTYPE(None, c_void_p, c_char_p)


class calmoe_context_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("log", calmoe_log_fn),
        ("log_user", c_void_p),
    ]


class calmoe_model_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("vocabulary_only", c_int),
        ("contents_only", c_int),
        ("n_experts_used", c_int),
        ("rope_scaling", c_char_p),
        ("rope_scale", c_float),
        ("rope_base", c_float),
        ("yarn_original_context", c_int),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("ranks", c_void_p),
    ]


class calmoe_model_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("path", c_char_p),
        ("name", c_char_p),
        ("family", c_char_p),
        ("tokenizer", c_char_p),
        ("chat_format", c_char_p),
        ("n_layers", c_int),
        ("width", c_int),
        ("n_heads", c_int),
        ("n_kv_heads", c_int),
        ("head_size", c_int),
        ("n_experts", c_int),
        ("n_experts_used", c_int),
        ("expert_width", c_int),
        ("shared_width", c_int),
        ("n_vocab", c_int),
        ("context_length", c_int),
        ("n_parameters", c_uint64),
        ("n_active_parameters", c_uint64),
        ("n_file_bytes", c_uint64),
        ("fingerprint", c_char * 17),
        ("n_dense_layers", c_int),
        ("dense_width", c_int),
        ("n_attention_layers", c_int),
        ("chat_problem", c_char_p),
        ("n_kept_values", c_int),
        ("n_state_layers", c_int),
        ("n_routed_layers", c_int),
    ]


class calmoe_tensor_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("type", c_char_p),
        ("n_dims", c_int),
        ("shape", c_uint64 * 4),
        ("n_bytes", c_uint64),
        ("shard", c_int),
    ]


calmoe_progress_fn = CFUNCTYPE(c_int, c_void_p, c_double)


class calmoe_bad_tensor(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("type", c_char_p),
        ("n_nan", c_uint64),
        ("n_infinite", c_uint64),
        ("first", c_uint64 * 4),
        ("first_is_nan", c_int),
        ("first_place", c_char_p),
    ]


class calmoe_check_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("on_bad", CFUNCTYPE(None, c_void_p, POINTER(calmoe_bad_tensor))),
        ("on_bad_user", c_void_p),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
        ("n_threads", c_int),
    ]


class calmoe_routing_event(Structure):
    _fields_ = [
        ("session", c_void_p),
        ("layer", c_int),
        ("position", c_int),
        ("token", c_int32),
        ("n", c_int),
        ("experts", POINTER(c_int32)),
        ("weights", POINTER(c_float)),
    ]


calmoe_routing_fn = CFUNCTYPE(None, c_void_p, POINTER(calmoe_routing_event))


class calmoe_routing_choice(Structure):
    _fields_ = [
        ("session", c_void_p),
        ("layer", c_int),
        ("row", c_int),
        ("position", c_int),
        ("token", c_int32),
        ("n", c_int),
        ("experts", POINTER(c_int32)),
        ("weights", POINTER(c_float)),
    ]


calmoe_routing_source_fn = CFUNCTYPE(None, c_void_p, POINTER(calmoe_routing_choice))


class calmoe_engine_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_threads", c_int),
        ("pin_threads", c_int),
        ("isa", c_char_p),
        ("plan", c_char_p),
        ("max_rows", c_int),
        ("kv_float32", c_int),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
        ("routing", calmoe_routing_fn),
        ("routing_user", c_void_p),
        ("routing_source", calmoe_routing_source_fn),
        ("routing_source_user", c_void_p),
        ("profile", c_int),
        ("exits", c_char_p),
        ("fixed_threads", c_int),
        ("no_tuning", c_int),
        ("ranks", c_void_p),
        ("draft_model", c_void_p),
        ("memory_limit", c_uint64),
        ("memory_profile", c_char_p),
        ("packed", c_char_p),
        ("disk_reads", c_int),
        ("no_lookahead", c_int),
        ("whole_experts", c_int),
    ]


class calmoe_chunk(Structure):
    _fields_ = [
        ("session", c_void_p),
        ("tokens", POINTER(c_int32)),
        ("n_tokens", c_int),
        ("logits", c_int),
    ]


class calmoe_event(Structure):
    _fields_ = [
        ("session", c_void_p),
        ("status", c_int),
        ("token", c_int32),
    ]


class calmoe_policy_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("measure", c_char_p),
        ("threshold", c_float),
        ("exit_layers", POINTER(c_int)),
        ("n_exits", c_int),
        ("schedule", c_char_p),
        ("tau", c_float),
        ("length", c_int),
        ("k_tail", c_int),
        ("width", c_char_p),
        ("width_bound", c_float),
        ("width_k", c_int),
        ("kv_fill", c_char_p),
        ("max_pending", c_int),
    ]


class calmoe_rung_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("is_proven", c_int),
        ("delta", c_double),
        ("epsilon", c_double),
        ("loss", c_char_p),
        ("p_value", c_char_p),
        ("p", c_double),
        ("n_prompts", c_int),
        ("n_exits", c_int),
        ("exit_layers", c_int * 16),
        ("k_tail", c_int),
        ("has_width", c_int),
        ("member", c_int),
        ("n_members", c_int),
        ("is_taken", c_int),
        ("cost", c_double),
    ]


class calmoe_constraint_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("compact", c_int),
        ("after", c_char_p),
        ("may_end", c_int),
        ("min_count", c_int),
        ("max_count", c_int),
        ("separator", c_char_p),
    ]


class calmoe_constraint_choice(Structure):
    _fields_ = [
        ("prefix", c_char_p),
        ("schema", c_char_p),
        ("n_bytes", c_size_t),
        ("suffix", c_char_p),
    ]


class calmoe_sampler_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("temperature", c_float),
        ("top_k", c_int),
        ("top_p", c_float),
        ("min_p", c_float),
        ("repeat_penalty", c_float),
        ("repeat_last", c_int),
        ("seed", c_uint64),
        ("presence_penalty", c_float),
        ("frequency_penalty", c_float),
        ("n_biases", c_int),
        ("bias_tokens", POINTER(c_int32)),
        ("biases", POINTER(c_float)),
        ("constraint", c_void_p),
    ]


class calmoe_session_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("context", c_int),
        ("max_new_tokens", c_int),
        ("ignore_end", c_int),
        ("hash_logits", c_int),
        ("sampler", POINTER(calmoe_sampler_options)),
        ("policy", c_void_p),
        ("quality", c_double),
        ("audit", c_int),
        ("audit_share", c_double),
        ("audit_alpha", c_double),
        ("audit_seed", c_uint64),
        ("lossless", c_int),
        ("chat_format", c_char_p),
    ]


class calmoe_source(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("text", c_char_p),
        ("n_bytes", c_size_t),
        ("is_system", c_int),
        ("sha256", c_char * 65),
    ]


class calmoe_depth(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("layers", c_int),
        ("experts", c_int),
        ("confidence", c_float),
    ]


class calmoe_audit(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("share", c_double),
        ("n_tokens", c_uint64),
        ("n_different", c_uint64),
        ("n_answers", c_uint64),
        ("ln_evidence", c_double),
        ("ln_limit", c_double),
        ("rung", c_int),
        ("n_alarms", c_int),
    ]


class calmoe_speculation(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("rounds", c_uint64),
        ("drafted", c_uint64),
        ("accepted", c_uint64),
        ("plain", c_uint64),
        ("rounds_by", c_uint64 * 4),
        ("drafted_by", c_uint64 * 4),
        ("accepted_by", c_uint64 * 4),
    ]


class calmoe_adapter_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("path", c_char_p),
        ("name", c_char_p),
        ("kind", c_char_p),
        ("fingerprint", c_char * 17),
        ("n_changes", c_int),
        ("rank", c_int),
        ("alpha", c_double),
        ("n_parameters", c_uint64),
        ("n_bytes", c_uint64),
        ("n_virtual_tokens", c_int),
    ]


class calmoe_prompt(Structure):
    _fields_ = [
        ("tokens", POINTER(c_int32)),
        ("n_tokens", c_int),
        ("answer", POINTER(c_int32)),
        ("n_answer", c_int),
    ]


class calmoe_calibrate_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("loss", c_char_p),
        ("p_value", c_char_p),
        ("epsilon", c_double),
        ("deltas", POINTER(c_double)),
        ("n_deltas", c_int),
        ("first_share", c_double),
        ("seed", c_uint64),
        ("answer_tokens", c_int),
        ("costs", c_int),
        ("batch", c_int),
        ("measures", c_char_p),
        ("max_exits", c_int),
        ("width", c_int),
        ("tails", c_int),
        ("most", c_int),
        ("rivals", c_int),
        ("n_splits", c_int),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
        ("resident", c_int),
    ]


class calmoe_finding(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("delta", c_double),
        ("is_proven", c_int),
        ("p", c_double),
        ("mean_loss", c_double),
        ("n_prompts", c_int),
        ("n_needed", c_int),
        ("n_tried", c_int),
        ("cost", c_double),
        ("mean_layers", c_double),
        ("mean_experts", c_double),
        ("policy", c_char_p),
        ("sentence", c_char_p),
        ("n_members", c_int),
        ("mean_reads", c_double),
    ]


class calmoe_split_finding(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_splits", c_int),
        ("n_proven", c_int),
        ("n_violated", c_int),
        ("mean_risk", c_double),
        ("mean_cost", c_double),
    ]


class calmoe_calibration_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_deltas", c_int),
        ("n_prompts", c_int * 2),
        ("n_policies", c_int),
        ("mean_answer", c_double),
        ("step", c_double),
        ("layer", c_double),
        ("expert", c_double),
        ("fill", c_double),
        ("head", c_double),
        ("oracle_layers", c_double),
        ("prompts", c_char * 17),
        ("read", c_double),
        ("reads", c_double),
    ]


class calmoe_chat_prompt_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("now", c_int64),
        ("chat_format", c_char_p),
    ]


class calmoe_answer_event(Structure):
    _fields_ = [
        ("kind", c_int),
        ("text", c_char_p),
        ("n_bytes", c_size_t),
        ("call", c_int),
        ("id", c_char_p),
    ]


calmoe_answer_fn = CFUNCTYPE(None, c_void_p, POINTER(calmoe_answer_event))


class calmoe_answer_parser_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("on_event", calmoe_answer_fn),
        ("on_event_user", c_void_p),
        ("no_calls", c_int),
        ("no_reasoning", c_int),
    ]


class calmoe_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_steps", c_uint64),
        ("n_rows", c_uint64),
        ("n_layers_run", c_uint64),
        ("n_experts_run", c_uint64),
        ("step_seconds", c_double),
        ("wait_share", c_double),
        ("n_packed_bytes", c_uint64),
        ("n_threads", c_int),
        ("n_nodes", c_int),
        ("isa", c_char_p),
        ("imbalance", c_double),
        ("n_weight_bytes", c_uint64),
        ("n_experts_touched", c_uint64),
        ("node_bytes", c_uint64 * 64),
        ("n_remote_bytes", c_uint64),
        ("n_exits", c_uint64),
        ("mean_threads", c_double),
        ("n_thread_changes", c_uint64),
    ]


class calmoe_node_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("waited_seconds", c_double),
        ("n_remote_bytes", c_uint64),
    ]


class calmoe_disk_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_experts", c_int),
        ("n_slots", c_int),
        ("n_slot_bytes", c_uint64),
        ("is_direct", c_int),
        ("n_wanted", c_uint64),
        ("n_there", c_uint64),
        ("n_ahead", c_uint64),
        ("n_asked", c_uint64),
        ("n_named", c_uint64),
        ("n_reads", c_uint64),
        ("n_bytes", c_uint64),
        ("waited_seconds", c_double),
        ("n_kept", c_int),
        ("uses_io_uring", c_int),
    ]


class calmoe_text_stream(Structure):
    _fields_ = [
        ("state", c_ubyte * 32),
    ]


class calmoe_fit_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("layers", POINTER(c_int)),
        ("n_layers", c_int),
        ("rank", c_int),
        ("ridge", c_double),
        ("classifiers", c_int),
        ("window", c_int),
        ("held_out", POINTER(c_int32)),
        ("n_held_out", c_size_t),
        ("memory", c_size_t),
        ("save_every", c_double),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
    ]


class calmoe_exit_quality(Structure):
    _fields_ = [
        ("agreement", c_double),
        ("sure", c_double),
        ("sure_agreement", c_double),
        ("reached", c_double),
    ]


class calmoe_fitted_exit(Structure):
    _fields_ = [
        ("layer", c_int),
        ("rank", c_int),
        ("explained", c_double),
        ("tried_before", c_double),
        ("tried_after", c_double),
        ("is_dropped", c_int),
        ("skipped_before", c_double),
        ("skipped_after", c_double),
        ("has_classifier", c_int),
        ("chosen", c_double),
        ("chosen_agreement", c_double),
        ("before", calmoe_exit_quality),
        ("after", calmoe_exit_quality),
    ]


class calmoe_exit_way(Structure):
    _fields_ = [
        ("oracle_layers", c_double),
        ("sure_layers", c_double),
        ("sure_agreement", c_double),
    ]


class calmoe_fit_report(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_fitted", c_uint64),
        ("n_judged", c_uint64),
        ("resumed", c_int),
        ("n_layers", c_int),
        ("before", calmoe_exit_way),
        ("after", calmoe_exit_way),
        ("n_exits", c_int),
        ("exits", calmoe_fitted_exit * 16),
    ]


class calmoe_machine_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_threads", c_int),
        ("pin_threads", c_int),
    ]


class calmoe_rate(Structure):
    _fields_ = [
        ("best", c_double),
        ("median", c_double),
    ]


class calmoe_level_peaks(Structure):
    _fields_ = [
        ("isa", c_char_p),
        ("int8", calmoe_rate),
        ("f32", calmoe_rate),
        ("bf16", calmoe_rate),
    ]


class calmoe_delay(Structure):
    _fields_ = [
        ("least", c_double),
        ("median", c_double),
    ]


class calmoe_machine(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("cpu", c_char * 64),
        ("n_cores", c_int),
        ("n_nodes", c_int),
        ("n_threads", c_int),
        ("read", calmoe_rate),
        ("node_read", calmoe_rate * 64),
        ("n_levels", c_int),
        ("levels", calmoe_level_peaks * 8),
        ("seconds", c_double),
        ("line_near", calmoe_delay),
        ("line_far", calmoe_delay),
        ("barrier", calmoe_delay),
    ]


class calmoe_pack_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("isa", c_char_p),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
    ]


class calmoe_profile_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("fingerprint", c_char * 17),
        ("n_layers", c_int),
        ("n_experts", c_int),
        ("n_used", c_int),
        ("n_domains", c_int),
    ]


class calmoe_profile_domain(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("n_tokens", c_uint64),
        ("tokens", POINTER(c_uint64)),
        ("weights", POINTER(c_double)),
        ("reuse", POINTER(c_uint64)),
        ("exits", POINTER(c_uint64)),
        ("used", POINTER(c_uint64)),
        ("n_steps", c_uint64),
        ("waited_seconds", c_double),
        ("n_expert_bytes", c_uint64),
        ("n_head_bytes", c_uint64),
        ("n_dense_bytes", c_uint64),
    ]


class calmoe_expert_pair(Structure):
    _fields_ = [
        ("a", c_int32),
        ("b", c_int32),
        ("n_tokens", c_uint64),
    ]


class calmoe_expert_load(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("peak", c_double),
        ("gini", c_double),
        ("entropy", c_double),
        ("n_dead", c_int),
        ("busiest", c_int),
    ]


class calmoe_specialist(Structure):
    _fields_ = [
        ("layer", c_int),
        ("expert", c_int),
        ("share", c_double),
        ("lift", c_double),
        ("bits", c_double),
    ]


class calmoe_placement_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("policy", c_char_p),
        ("plan", c_char_p),
        ("profile", c_char_p),
        ("domain", c_char_p),
        ("topology", c_char_p),
        ("bandwidth", c_char_p),
        ("memory_limit", c_float),
        ("near_latency", c_double),
        ("far_latency", c_double),
        ("usage", c_void_p),
        ("stream_limit", c_uint64),
    ]


class calmoe_placement_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("policy", c_char_p),
        ("why", c_char_p),
        ("notes", c_char_p),
        ("use", c_char_p),
        ("n_nodes", c_int),
        ("n_layers", c_int),
        ("n_experts", c_int),
        ("n_pinned", c_int),
        ("n_sliced", c_int),
        ("n_replicated", c_int),
        ("n_weight_bytes", c_uint64),
        ("n_placed_bytes", c_uint64),
        ("is_memory_known", c_int),
        ("is_bandwidth_known", c_int),
        ("n_streamed", c_int),
    ]


class calmoe_placement_node(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_cores", c_int),
        ("served_by", c_int),
        ("memory_bytes", c_uint64),
        ("cache_bytes", c_uint64),
        ("bandwidth", c_double),
        ("weight_bytes", c_uint64),
        ("n_pinned", c_int),
        ("n_sliced", c_int),
        ("n_replicas", c_int),
        ("kv_heads", c_int),
    ]


class calmoe_prediction(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("batch", c_int),
        ("n_steps", c_uint64),
        ("n_tokens", c_uint64),
        ("imbalance", c_double),
        ("expert_seconds", c_double),
        ("step_seconds", c_double),
        ("tokens_per_s", c_double),
        ("n_uses", c_uint64),
        ("n_sliced_uses", c_uint64),
        ("n_replica_uses", c_uint64),
        ("node_share", c_double * 64),
        ("node_bytes", c_uint64 * 64),
        ("node_remote_weights", c_uint64 * 64),
        ("node_remote_activations", c_uint64 * 64),
        ("node_replica_uses", c_uint64 * 64),
        ("n_barriers", c_int),
        ("barrier_seconds", c_double),
    ]


class calmoe_disk_prediction(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("batch", c_int),
        ("n_experts", c_int),
        ("n_slots", c_int),
        ("n_tokens", c_uint64),
        ("n_wanted", c_uint64),
        ("n_there", c_uint64),
        ("n_bytes", c_uint64),
    ]


class calmoe_network(Structure):
    _fields_ = [
        ("n_ranks", c_int),
        ("experts", c_int),
        ("latency", c_double),
        ("bandwidth", c_double),
    ]


class calmoe_ranks_prediction(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("batch", c_int),
        ("n_exchanges", c_int),
        ("n_bytes_received", c_uint64),
        ("exchange_seconds", c_double),
        ("step_seconds", c_double),
        ("tokens_per_s", c_double),
        ("experts", c_int),
        ("why", c_char * 128),
    ]


class calmoe_quantized_tensor(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("from", c_char_p),
        ("to", c_char_p),
        ("fate", c_int),
        ("n_columns", c_uint64),
        ("block", c_int),
    ]


class calmoe_quantize_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("quantized", c_int),
        ("on_tensor", CFUNCTYPE(None, c_void_p, POINTER(calmoe_quantized_tensor))),
        ("on_tensor_user", c_void_p),
        ("progress", calmoe_progress_fn),
        ("progress_user", c_void_p),
        ("n_threads", c_int),
        ("adapter", c_char_p),
        ("adapter_scale", c_float),
    ]


class calmoe_quantize_result(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("type", c_char_p),
        ("n_bytes", c_uint64),
        ("n_requantized", c_uint64),
        ("relative_error", c_double),
    ]


class calmoe_ranks_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("communicator", c_void_p),
        ("timeout", c_double),
        ("bandwidth", c_double),
    ]


class calmoe_ranks_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("n_ranks", c_int),
        ("own", c_int),
        ("n_exchanges", c_uint64),
        ("n_bytes_received", c_uint64),
        ("n_bytes_sent", c_uint64),
        ("seconds", c_double),
    ]


class calmoe_synthetic_options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("family", c_char_p),
        ("type", c_char_p),
        ("seed", c_uint64),
        ("n_layers", c_int),
        ("width", c_int),
        ("n_heads", c_int),
        ("n_kv_heads", c_int),
        ("head_size", c_int),
        ("n_experts", c_int),
        ("n_experts_used", c_int),
        ("expert_width", c_int),
        ("shared_width", c_int),
        ("shared_gate", c_int),
        ("n_vocab", c_int),
        ("context_length", c_int),
        ("head_norms", c_int),
        ("qkv_biases", c_int),
        ("tied", c_int),
        ("rotated", c_int),
        ("attention_interval", c_int),
        ("delta_key_heads", c_int),
        ("delta_value_heads", c_int),
        ("delta_head_size", c_int),
        ("rope_base", c_float),
        ("norm_eps", c_float),
        ("embedding_scale", c_float),
        ("residual_scale", c_float),
        ("attention_scale", c_float),
        ("logit_scale", c_float),
        ("n_threads", c_int),
        ("window", c_int),
        ("latent", c_int),
        ("q_rank", c_int),
        ("value_size", c_int),
        ("dense_layers", c_int),
        ("dense_width", c_int),
        ("window_head_size", c_int),
        ("window_kv_heads", c_int),
        ("keys_are_values", c_int),
        ("dense_part", c_int),
        ("kinds", c_char_p),
        ("state_size", c_int),
    ]


class calmoe_trace_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("fingerprint", c_char * 17),
        ("n_layers", c_int),
        ("n_experts", c_int),
        ("n_used", c_int),
    ]


class calmoe_trace_token(Structure):
    _fields_ = [
        ("position", c_int),
        ("token", c_int32),
        ("experts", POINTER(c_int32)),
        ("weights", POINTER(c_float)),
    ]


# name: (result, arguments)
FUNCTIONS = {
    "calmoe_version": (c_char_p, []),
    "calmoe_status_name": (c_char_p, [c_int]),
    "calmoe_status_text": (c_char_p, [c_int]),
    "calmoe_context_options_init": (None, [POINTER(calmoe_context_options)]),
    "calmoe_context_open": (c_int, [POINTER(calmoe_context_options), POINTER(c_void_p)]),
    "calmoe_context_close": (None, [POINTER(c_void_p)]),
    "calmoe_context_message": (c_char_p, [c_void_p]),
    "calmoe_remove_unfinished": (None, []),
    "calmoe_model_options_init": (None, [POINTER(calmoe_model_options)]),
    "calmoe_model_open": (c_int, [c_void_p, c_char_p, POINTER(calmoe_model_options), POINTER(c_void_p)]),
    "calmoe_model_close": (None, [POINTER(c_void_p)]),
    "calmoe_model_get_info": (c_int, [c_void_p, POINTER(calmoe_model_info)]),
    "calmoe_chat_format_name": (c_char_p, [c_int]),
    "calmoe_model_get_tensor": (c_int, [c_void_p, c_uint64, POINTER(calmoe_tensor_info)]),
    "calmoe_model_get_metadata": (c_int, [c_void_p, c_uint64, POINTER(c_char_p), POINTER(c_char), c_size_t]),
    "calmoe_check_options_init": (None, [POINTER(calmoe_check_options)]),
    "calmoe_model_check": (c_int, [c_void_p, POINTER(calmoe_check_options)]),
    "calmoe_engine_options_init": (None, [POINTER(calmoe_engine_options)]),
    "calmoe_engine_open": (c_int, [c_void_p, POINTER(calmoe_engine_options), POINTER(c_void_p)]),
    "calmoe_engine_describe": (c_int, [c_void_p, POINTER(c_char), c_size_t]),
    "calmoe_engine_close": (None, [POINTER(c_void_p)]),
    "calmoe_engine_step": (c_int, [c_void_p, POINTER(calmoe_chunk), c_int]),
    "calmoe_engine_next": (c_int, [c_void_p, POINTER(calmoe_event), c_int, POINTER(c_int)]),
    "calmoe_engine_set_step_rows": (c_int, [c_void_p, c_int]),
    "calmoe_policy_open": (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "calmoe_policy_save": (c_int, [c_void_p, c_char_p]),
    "calmoe_policy_choose": (c_int, [c_void_p, c_void_p, c_char_p]),
    "calmoe_policy_fix": (c_int, [c_void_p, c_double, c_int]),
    "calmoe_policy_close": (None, [POINTER(c_void_p)]),
    "calmoe_policy_options_init": (None, [POINTER(calmoe_policy_options)]),
    "calmoe_policy_make": (c_int, [c_void_p, POINTER(calmoe_policy_options), POINTER(c_void_p)]),
    "calmoe_policy_n_rungs": (c_int, [c_void_p]),
    "calmoe_policy_get_rung": (c_int, [c_void_p, c_int, POINTER(calmoe_rung_info)]),
    "calmoe_constraint_options_init": (None, [POINTER(calmoe_constraint_options)]),
    "calmoe_constraint_open_json_schema": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(calmoe_constraint_options),
        POINTER(c_void_p)]),
    "calmoe_constraint_open_json_object": (c_int, [c_void_p, POINTER(calmoe_constraint_options), POINTER(c_void_p)]),
    "calmoe_constraint_open_pattern": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(calmoe_constraint_options),
        POINTER(c_void_p)]),
    "calmoe_constraint_open_choice": (c_int, [c_void_p, POINTER(calmoe_constraint_choice), c_int,
        POINTER(calmoe_constraint_options), POINTER(c_void_p)]),
    "calmoe_constraint_close": (None, [POINTER(c_void_p)]),
    "calmoe_sampler_options_init": (None, [POINTER(calmoe_sampler_options)]),
    "calmoe_model_sampler_defaults": (c_int, [c_void_p, POINTER(calmoe_sampler_options)]),
    "calmoe_session_options_init": (None, [POINTER(calmoe_session_options)]),
    "calmoe_session_open": (c_int, [c_void_p, POINTER(calmoe_session_options), POINTER(c_void_p)]),
    "calmoe_session_close": (None, [POINTER(c_void_p)]),
    "calmoe_session_set_sampler": (c_int, [c_void_p, POINTER(calmoe_sampler_options)]),
    "calmoe_session_set_limits": (c_int, [c_void_p, c_int, c_int]),
    "calmoe_session_set_policy": (c_int, [c_void_p, c_void_p, c_double]),
    "calmoe_session_feed_tokens": (c_int, [c_void_p, POINTER(c_int32), c_size_t]),
    "calmoe_session_feed_text": (c_int, [c_void_p, c_char_p, c_size_t, c_uint]),
    "calmoe_session_feed_chat": (c_int, [c_void_p, c_char_p, c_char_p]),
    "calmoe_session_next": (c_int, [c_void_p, POINTER(c_int32)]),
    "calmoe_session_interrupt": (None, [c_void_p]),
    "calmoe_session_n_positions": (c_int, [c_void_p]),
    "calmoe_session_n_tokens": (c_int, [c_void_p]),
    "calmoe_session_tokens": (POINTER(c_int32), [c_void_p]),
    "calmoe_session_context": (c_int, [c_void_p]),
    "calmoe_session_engine": (c_void_p, [c_void_p]),
    "calmoe_session_rewind": (c_int, [c_void_p, c_int]),
    "calmoe_session_will_return": (c_int, [c_void_p, POINTER(c_int), c_int]),
    "calmoe_session_turn_begin": (c_int, [c_void_p]),
    "calmoe_session_fork": (c_int, [c_void_p, POINTER(c_void_p)]),
    "calmoe_session_save": (c_int, [c_void_p, c_char_p]),
    "calmoe_session_restore": (c_int, [c_void_p, c_char_p, POINTER(calmoe_session_options), POINTER(c_void_p)]),
    "calmoe_session_set_source": (c_int, [c_void_p, POINTER(calmoe_source)]),
    "calmoe_session_source": (c_int, [c_void_p, POINTER(calmoe_source)]),
    "calmoe_session_logits": (POINTER(c_float), [c_void_p, c_int]),
    "calmoe_session_sample": (c_int, [c_void_p, POINTER(c_int32)]),
    "calmoe_session_logprobs": (c_int, [c_void_p, c_int, c_int32, POINTER(c_float), c_int, POINTER(c_int32),
        POINTER(c_float)]),
    "calmoe_session_keep_logprobs": (c_int, [c_void_p, c_int]),
    "calmoe_session_kept_logprobs": (c_int, [c_void_p, c_int, POINTER(c_float), c_int, POINTER(c_int32),
        POINTER(c_float)]),
    "calmoe_session_begin_answer": (None, [c_void_p]),
    "calmoe_session_rung": (c_int, [c_void_p]),
    "calmoe_session_depth": (c_int, [c_void_p, c_int, POINTER(calmoe_depth)]),
    "calmoe_session_audit": (c_int, [c_void_p, POINTER(calmoe_audit)]),
    "calmoe_session_speculation": (c_int, [c_void_p, POINTER(calmoe_speculation)]),
    "calmoe_session_draft_counts": (c_int, [c_void_p, POINTER(c_uint64), POINTER(c_uint64), c_int]),
    "calmoe_session_logit_hash": (c_int, [c_void_p, POINTER(c_char)]),
    "calmoe_adapter_open": (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "calmoe_adapter_close": (None, [POINTER(c_void_p)]),
    "calmoe_engine_n_adapters": (c_int, [c_void_p]),
    "calmoe_engine_adapter": (c_void_p, [c_void_p, c_int]),
    "calmoe_adapter_get_info": (c_int, [c_void_p, POINTER(calmoe_adapter_info)]),
    "calmoe_session_set_adapters": (c_int, [c_void_p, POINTER(c_void_p), POINTER(c_float), c_int]),
    "calmoe_session_n_adapters": (c_int, [c_void_p]),
    "calmoe_session_adapter": (c_int, [c_void_p, c_int, POINTER(c_void_p), POINTER(c_float)]),
    "calmoe_calibrate_options_init": (None, [POINTER(calmoe_calibrate_options)]),
    "calmoe_calibrate": (c_int, [c_void_p, POINTER(calmoe_prompt), c_int, POINTER(calmoe_calibrate_options),
        POINTER(c_void_p)]),
    "calmoe_calibration_close": (None, [POINTER(c_void_p)]),
    "calmoe_calibration_get_policy": (c_int, [c_void_p, POINTER(c_void_p)]),
    "calmoe_calibration_get_finding": (c_int, [c_void_p, c_int, POINTER(calmoe_finding)]),
    "calmoe_calibration_get_rival": (c_int, [c_void_p, c_int, c_int, POINTER(calmoe_finding)]),
    "calmoe_calibration_get_splits": (c_int, [c_void_p, c_int, POINTER(calmoe_split_finding)]),
    "calmoe_calibration_get_info": (c_int, [c_void_p, POINTER(calmoe_calibration_info)]),
    "calmoe_chat_prompt_options_init": (None, [POINTER(calmoe_chat_prompt_options)]),
    "calmoe_chat_prompt_open": (c_int, [c_void_p, c_void_p, c_char_p, c_size_t, POINTER(calmoe_chat_prompt_options),
        POINTER(c_void_p)]),
    "calmoe_chat_prompt_close": (None, [POINTER(c_void_p)]),
    "calmoe_chat_prompt_text": (POINTER(c_char), [c_void_p, POINTER(c_size_t)]),
    "calmoe_chat_prompt_marks": (POINTER(c_ubyte), [c_void_p]),
    "calmoe_chat_prompt_tokens": (POINTER(c_int32), [c_void_p, POINTER(c_size_t)]),
    "calmoe_chat_prompt_turn_begin": (c_int64, [c_void_p]),
    "calmoe_chat_prompt_turn_end": (c_int64, [c_void_p]),
    "calmoe_answer_parser_options_init": (None, [POINTER(calmoe_answer_parser_options)]),
    "calmoe_answer_parser_open": (c_int, [c_void_p, c_void_p, c_void_p, POINTER(calmoe_answer_parser_options),
        POINTER(c_void_p)]),
    "calmoe_answer_parser_close": (None, [POINTER(c_void_p)]),
    "calmoe_answer_parser_put": (c_int, [c_void_p, c_char_p, c_size_t, c_int]),
    "calmoe_answer_parser_put_token": (c_int, [c_void_p, c_int32]),
    "calmoe_answer_parser_finish": (c_int, [c_void_p]),
    "calmoe_answer_parser_in_text": (c_int, [c_void_p]),
    "calmoe_phase_name": (c_char_p, [c_int]),
    "calmoe_engine_get_stats": (c_int, [c_void_p, POINTER(calmoe_stats)]),
    "calmoe_engine_reset_stats": (None, [c_void_p]),
    "calmoe_engine_get_phases": (c_int, [c_void_p, POINTER(c_double), c_int]),
    "calmoe_engine_get_node_stats": (c_int, [c_void_p, c_int, POINTER(calmoe_node_stats)]),
    "calmoe_engine_get_node_phases": (c_int, [c_void_p, c_int, POINTER(c_double), POINTER(c_uint64), c_int]),
    "calmoe_engine_get_disk_stats": (c_int, [c_void_p, POINTER(calmoe_disk_stats)]),
    "calmoe_engine_set_counting": (None, [c_void_p, c_int]),
    "calmoe_engine_get_exit_counts": (c_int, [c_void_p, POINTER(c_uint64), c_int]),
    "calmoe_engine_get_expert_counts": (c_int, [c_void_p, c_int, POINTER(c_uint64), c_int]),
    "calmoe_engine_get_stats_text": (c_int, [c_void_p, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "calmoe_stops_open": (c_int, [c_void_p, POINTER(c_char_p), POINTER(c_size_t), c_int, POINTER(c_void_p)]),
    "calmoe_stops_close": (None, [POINTER(c_void_p)]),
    "calmoe_stops_put": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_char_p), POINTER(c_size_t), POINTER(c_int)]),
    "calmoe_stops_end": (None, [c_void_p, POINTER(c_char_p), POINTER(c_size_t)]),
    "calmoe_tokenize": (c_int, [c_void_p, c_void_p, c_char_p, c_size_t, c_uint, POINTER(c_int32), c_size_t,
        POINTER(c_size_t)]),
    "calmoe_token_bytes": (POINTER(c_char), [c_void_p, c_int32, c_int, POINTER(c_size_t)]),
    "calmoe_token_ends": (c_int, [c_void_p, c_int32]),
    "calmoe_text_stream_put": (c_int, [c_void_p, POINTER(calmoe_text_stream), c_int32, POINTER(c_char), c_size_t]),
    "calmoe_fit_options_init": (None, [POINTER(calmoe_fit_options)]),
    "calmoe_fit_exits": (c_int, [c_void_p, POINTER(c_int32), c_size_t, POINTER(calmoe_fit_options), c_char_p,
        POINTER(calmoe_fit_report)]),
    "calmoe_machine_options_init": (None, [POINTER(calmoe_machine_options)]),
    "calmoe_machine_measure": (c_int, [c_void_p, POINTER(calmoe_machine_options), POINTER(calmoe_machine)]),
    "calmoe_read_meter_open": (c_int, [c_void_p, POINTER(calmoe_machine_options), POINTER(c_void_p)]),
    "calmoe_read_meter_close": (None, [POINTER(c_void_p)]),
    "calmoe_read_meter_pass": (c_double, [c_void_p]),
    "calmoe_pack_options_init": (None, [POINTER(calmoe_pack_options)]),
    "calmoe_pack": (c_int, [c_void_p, c_char_p, POINTER(calmoe_pack_options)]),
    "calmoe_pack_check": (c_int, [c_void_p, c_char_p]),
    "calmoe_engine_profile_domain": (c_int, [c_void_p, c_char_p]),
    "calmoe_engine_get_profile": (c_int, [c_void_p, POINTER(c_void_p)]),
    "calmoe_profile_open": (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "calmoe_profile_close": (None, [POINTER(c_void_p)]),
    "calmoe_profile_merge": (c_int, [c_void_p, c_void_p]),
    "calmoe_profile_write": (c_int, [c_void_p, c_char_p]),
    "calmoe_profile_get_info": (c_int, [c_void_p, POINTER(calmoe_profile_info)]),
    "calmoe_profile_get_domain": (c_int, [c_void_p, c_int, POINTER(calmoe_profile_domain)]),
    "calmoe_profile_get_phases": (c_int, [c_void_p, c_int, POINTER(c_double), c_int]),
    "calmoe_profile_get_node": (c_int, [c_void_p, c_int, c_int, POINTER(calmoe_node_stats)]),
    "calmoe_profile_get_node_phases": (c_int, [c_void_p, c_int, c_int, POINTER(c_double), POINTER(c_uint64), c_int]),
    "calmoe_profile_get_pair": (c_int, [c_void_p, c_int, c_int, c_int, POINTER(calmoe_expert_pair)]),
    "calmoe_profile_get_load": (c_int, [c_void_p, c_int, c_int, POINTER(calmoe_expert_load)]),
    "calmoe_profile_get_similarity": (c_int, [c_void_p, c_int, c_int, c_int, POINTER(c_double)]),
    "calmoe_profile_get_specialists": (c_int, [c_void_p, c_int, POINTER(calmoe_specialist), c_int, POINTER(c_int)]),
    "calmoe_profile_get_text": (c_int, [c_void_p, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "calmoe_placement_options_init": (None, [POINTER(calmoe_placement_options)]),
    "calmoe_placement_policy": (c_int, [c_int, POINTER(c_char_p), POINTER(c_char_p)]),
    "calmoe_placement_open": (c_int, [c_void_p, POINTER(calmoe_placement_options), POINTER(c_void_p)]),
    "calmoe_placement_close": (None, [POINTER(c_void_p)]),
    "calmoe_placement_write": (c_int, [c_void_p, c_char_p]),
    "calmoe_placement_get_info": (c_int, [c_void_p, POINTER(calmoe_placement_info)]),
    "calmoe_placement_get_node": (c_int, [c_void_p, c_int, POINTER(calmoe_placement_node)]),
    "calmoe_placement_get_expert": (c_int, [c_void_p, c_int, c_int, POINTER(c_int), POINTER(c_double), c_int]),
    "calmoe_placement_predict": (c_int, [c_void_p, c_int, POINTER(calmoe_prediction)]),
    "calmoe_placement_simulate": (c_int, [c_void_p, POINTER(c_int32), c_int, c_int, c_int,
        POINTER(calmoe_prediction)]),
    "calmoe_placement_simulate_disk": (c_int, [c_void_p, POINTER(c_int32), c_int, c_int, c_int, c_uint64,
        POINTER(calmoe_disk_prediction)]),
    "calmoe_placement_predict_ranks": (c_int, [c_void_p, POINTER(calmoe_network), c_int,
        POINTER(calmoe_ranks_prediction)]),
    "calmoe_quantize_options_init": (None, [POINTER(calmoe_quantize_options)]),
    "calmoe_quantize_type": (c_char_p, [c_int]),
    "calmoe_quantize": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, POINTER(calmoe_quantize_options),
        POINTER(calmoe_quantize_result)]),
    "calmoe_ranks_launched": (c_int, []),
    "calmoe_ranks_options_init": (None, [POINTER(calmoe_ranks_options)]),
    "calmoe_ranks_open": (c_int, [c_void_p, POINTER(calmoe_ranks_options), POINTER(c_void_p)]),
    "calmoe_ranks_close": (None, [POINTER(c_void_p), c_char_p]),
    "calmoe_ranks_count": (c_int, [c_void_p]),
    "calmoe_ranks_own": (c_int, [c_void_p]),
    "calmoe_ranks_are_lost": (c_int, [c_void_p]),
    "calmoe_engine_follow": (c_int, [c_void_p]),
    "calmoe_engine_get_ranks_stats": (c_int, [c_void_p, POINTER(calmoe_ranks_stats)]),
    "calmoe_synthetic_options_init": (None, [POINTER(calmoe_synthetic_options)]),
    "calmoe_synthetic_bytes": (c_int, [c_void_p, POINTER(calmoe_synthetic_options), POINTER(c_uint64)]),
    "calmoe_synthesize": (c_int, [c_void_p, POINTER(calmoe_synthetic_options), c_char_p, calmoe_progress_fn,
        c_void_p]),
    "calmoe_trace_writer_open": (c_int, [c_void_p, c_char_p, POINTER(calmoe_trace_info), POINTER(c_void_p)]),
    "calmoe_trace_writer_add": (c_int, [c_void_p, POINTER(calmoe_trace_token)]),
    "calmoe_trace_writer_see": (None, [c_void_p, POINTER(calmoe_routing_event)]),
    "calmoe_trace_writer_close": (c_int, [POINTER(c_void_p)]),
    "calmoe_trace_reader_open": (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "calmoe_trace_reader_close": (None, [POINTER(c_void_p)]),
    "calmoe_trace_reader_get_info": (c_int, [c_void_p, POINTER(calmoe_trace_info)]),
    "calmoe_trace_reader_next": (c_int, [c_void_p, POINTER(calmoe_trace_token)]),
}
