/* Pace: how many queries may be on their way to a nameserver, and which of those waiting is next. Loop thread only.
 *
 * On the way are those sent after the newest query that was answered: a nameserver reads in order, so whatever was
 * sent before has been read, or is lost. How many may be grows while answers come and something had to wait, and
 * shrinks at loss. It grows no further once about QUEUE_MAX of them do not travel but stand in a queue (the
 * nameserver's, or that of answers in front of this thread), which the difference between the present and the
 * least round trip tells: rbldnsd's socket buffer holds 157 small datagrams, Linux' default 256.
 *
 * A zone that does not answer must not use up what a resolver keeps for one client (unbound: 1,000 that wait), so
 * of each zone only so many may be late. The zones take turns, and on each of them those who ask: see queue.c. */
#include "fanout_internal.h"

#define FLOOR 100.0 /* a burst that any nameserver's socket buffer holds */
#define CEILING 6000.0
#define QUEUE_MAX 40.0
#define JITTER_SHARE 8 /* of a way's length: that much longer tells of no queue */
#define STANDING_SHARE 16 /* of a way's length: so much longer for a whole period tells of a queue */
#define SHRINK 0.7
#define GROW (1.0 / 16)          /* an answer, above the threshold */
#define LOSS_BORNE 0.03          /* less than this is the network's, and no sign of a full buffer */
#define FRESH_NS (20 * DNSBL_MS) /* of a nameserver that answers */
#define FRESH_UNKNOWN_NS (100 * DNSBL_MS)
#define ALIVE_NS DNSBL_S /* how long after an answer a nameserver, or a zone, counts as one that answers */
#define PERIOD_NS (2 * DNSBL_S)
#define LATE_NS (200 * DNSBL_MS)
#define LATE_ALIVE_NS DNSBL_S     /* then it is lost, if its zone answers others */
#define LATE_SILENT_NS (5 * DNSBL_S)
#define PROBE_NS (250 * DNSBL_MS)
#define WAITED_NS (10 * DNSBL_MS) /* one that waited less was not kept from being in time */
#define BEGUN_NS (20 * DNSBL_MS)
#define RETRY_NS (250 * DNSBL_MS) /* a nameserver that is quick is asked again so soon */

enum { LATE_MAX = 64, LATE_SHARE = 4, LATE_CEILING = 400 };

/* ---- lists ---- */

static void append(attempt_list *list, attempt *a)
{
    a->link[list->kind].on = list;
    a->link[list->kind].before = list->last;
    a->link[list->kind].after = NULL;
    *(list->last != NULL ? &list->last->link[list->kind].after : &list->first) = a;
    list->last = a;
    list->count++;
}

static void take_off(attempt *a, int kind)
{
    attempt_list *list = a->link[kind].on;
    if (list == NULL)
        return;
    attempt *before = a->link[kind].before, *after = a->link[kind].after;
    *(before != NULL ? &before->link[kind].after : &list->first) = after;
    *(after != NULL ? &after->link[kind].before : &list->last) = before;
    list->count--;
    a->link[kind].on = NULL;
}

void dnsbl_pace_forget(attempt *a)
{
    take_off(a, ON_WAY);
    take_off(a, ON_LANE);
}

void dnsbl_pace_init(server *srv)
{
    srv->window = FLOOR;
    srv->threshold = CEILING;
    srv->on_way.kind = ON_WAY;
    for (int i = 0; i < LANES; i++)
        srv->lanes[i].open.kind = srv->lanes[i].late.kind = ON_LANE;
}

/* ---- room ---- */

static uint64_t late_after(const lane *ln)
{
    uint64_t usual = ln->rtt + 4 * ln->rtt_var;
    return usual > LATE_NS ? usual : LATE_NS;
}

static bool lives(uint64_t answered, uint64_t now)
{
    return answered != 0 && now < answered + ALIVE_NS;
}

/* Move on what has become late, and let go of what is lost. */
static void age(lane *ln, uint64_t now)
{
    while (ln->open.first != NULL && now - ln->open.first->sent >= late_after(ln)) {
        attempt *a = ln->open.first;
        take_off(a, ON_LANE);
        append(&ln->late, a);
    }
    uint64_t held = lives(ln->answered, now) ? LATE_ALIVE_NS : LATE_SILENT_NS;
    while (ln->late.first != NULL && now - ln->late.first->sent >= held)
        take_off(ln->late.first, ON_LANE);
}

static int late_max(const lane *ln)
{
    int answers = ln->answers > ln->answers_before ? ln->answers : ln->answers_before;
    int most = LATE_MAX + answers / LATE_SHARE;
    return most < LATE_CEILING ? most : LATE_CEILING;
}

static bool lane_has_room(lane *ln, uint64_t now)
{
    age(ln, now);
    /* Of one that does not answer nothing says that what is not late yet will be answered. */
    int doubtful = lives(ln->answered, now) ? ln->late.count : (ln->late.count + ln->open.count) / 2;
    if (doubtful < late_max(ln))
        return true;
    if (now < ln->probe_at)
        return false;
    ln->probe_at = now + PROBE_NS; /* so that its return is seen soon */
    return true;
}

static uint64_t fresh_ns(const server *srv, uint64_t now)
{
    uint64_t usual = srv->rtt + 4 * srv->rtt_var;
    if (!lives(srv->answered, now))
        return FRESH_UNKNOWN_NS;
    return usual < FRESH_NS ? FRESH_NS : usual > ALIVE_NS ? ALIVE_NS : usual;
}

static bool server_has_room(server *srv, uint64_t now)
{
    while (srv->on_way.first != NULL && now - srv->on_way.first->sent >= fresh_ns(srv, now)) {
        srv->on_way.first->overdue = true;
        take_off(srv->on_way.first, ON_WAY);
    }
    if (!lives(srv->answered, now)) {
        srv->window = FLOOR;
        srv->threshold = CEILING;
    }
    if (srv->on_way.count < (int)srv->window)
        return true;
    srv->full_at = now;
    return false;
}

/* One that had to wait, and would be answered too late if it were sent now: it is not sent, in favour of those
 * that can be answered in time. What was begun is ended: a lookup some of whose questions are sent needs
 * them all. */
static bool is_too_late(const attempt *a, uint64_t now)
{
    const lane *ln = a->lane;
    if (now - a->began < WAITED_NS || !lives(ln->answered, now))
        return false;
    uint64_t usual = ln->rtt + 4 * ln->rtt_var, margin = a->fan->sent ? 0 : usual / 2 + BEGUN_NS;
    return now + usual + margin >= a->fan->ask_until;
}

/* Nobody would use its answer; it needs no room: the caller drops it. */
static bool is_over(const attempt *a, uint64_t now)
{
    return a->fan->questions[a->index].answered || now >= a->fan->ask_until || is_too_late(a, now);
}

attempt *dnsbl_pace_pop(dnsbl_loop *loop, server *srv, uint64_t now, bool *over)
{
    bool room = server_has_room(srv, now) && loop->in_flight < DNSBL_FANOUT_MAX_IN_FLIGHT;
    for (unsigned i = 0; i < LANES && srv->waiting > 0; i++) {
        lane *ln = &srv->lanes[(srv->turn + i) % LANES];
        if (ln->waiting == 0)
            continue;
        *over = is_over(dnsbl_queue_first(ln), now);
        if (!*over && !(room && lane_has_room(ln, now)))
            continue;
        if (!*over)
            srv->turn = (srv->turn + i + 1) % LANES;
        return dnsbl_queue_pop(loop, srv, ln, !*over);
    }
    return NULL;
}

bool dnsbl_pace_crowded(const server *srv, uint64_t now)
{
    int waiting = 0, most = (int)(srv->window + FLOOR);
    /* What waits for a zone that does not answer keeps none of the others back. */
    for (int i = 0; i < LANES && srv->waiting > most && waiting <= most; i++)
        if (lives(srv->lanes[i].answered, now))
            waiting += srv->lanes[i].waiting;
    return waiting > most;
}

uint64_t dnsbl_pace_next(server *srv, uint64_t now)
{
    if (srv->on_way.count >= (int)srv->window)
        return srv->on_way.first->sent + fresh_ns(srv, now);
    return now + 10 * DNSBL_MS; /* a zone's late ones are let go by time */
}

/* ---- what comes back ---- */

void dnsbl_pace_sent(server *srv, attempt *a)
{
    append(&srv->on_way, a);
    append(&a->lane->open, a);
}

/* Of a constant sample it is that sample: what is too short by an eighth takes every answer for a late one. */
static void smooth(uint64_t *mean, uint64_t *deviation, uint64_t sample)
{
    if (*mean == 0) {
        *mean = sample;
        *deviation = sample / 2;
        return;
    }
    uint64_t off = sample > *mean ? sample - *mean : *mean - sample;
    *deviation = *deviation - *deviation / 4 + off / 4;
    *mean = *mean - *mean / 8 + sample / 8;
}

/* 0: there is none. */
static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t least_of(const server *srv)
{
    return lesser(srv->least, srv->least_before);
}

/* A queue that has stood for a whole period would be taken for the way, and the next one be let stand on top of it.
 * It shows in that nothing was as quick as in the period before, and is let run empty: so the way is seen. */
static void begin_period(server *srv, uint64_t now)
{
    uint64_t way = srv->least_before;
    if (way != 0 && srv->least > way + way / STANDING_SHARE) {
        double window = srv->window * (double)way / (double)srv->rtt * (7.0 / 8);
        srv->window = window > FLOOR ? window : FLOOR;
        srv->threshold = srv->window;
    }
    srv->period = now;
    srv->least_before = srv->least;
    srv->least = 0;
}

static void note_least(server *srv, uint64_t sample, uint64_t now)
{
    if (now - srv->period >= PERIOD_NS)
        begin_period(srv, now);
    srv->least = lesser(srv->least, sample);
}

static double queued(const server *srv)
{
    uint64_t least = least_of(srv), usual = least + least / JITTER_SHARE;
    return srv->rtt <= usual ? 0 : srv->window * (double)(srv->rtt - usual) / (double)srv->rtt;
}

/* Shrinks at most once in a round trip, and only for more loss than a sound network has. */
static void look_at_loss(server *srv, uint64_t now)
{
    uint64_t every = 2 * srv->rtt > 100 * DNSBL_MS ? 2 * srv->rtt : 100 * DNSBL_MS;
    if (now - srv->looked < every)
        return;
    if (srv->losses > LOSS_BORNE * (srv->answers + srv->losses)) {
        srv->window = srv->window * SHRINK > FLOOR ? srv->window * SHRINK : FLOOR;
        srv->threshold = srv->window;
    }
    srv->answers = srv->losses = 0;
    srv->looked = now;
}

/* used: the window has kept something waiting since what is now answered was sent. */
static void grow(server *srv, bool used)
{
    double queue = queued(srv);
    if (queue > srv->window / 4 && srv->window > FLOOR) { /* far too many: slowly from here on */
        srv->window -= 8 * GROW;
        srv->threshold = srv->window;
    } else if (queue > 2 * QUEUE_MAX && srv->window > FLOOR) {
        srv->window -= GROW;
    } else if (used && queue < QUEUE_MAX && srv->window < CEILING)
        srv->window += srv->window < srv->threshold ? 1 : GROW;
}

static void lane_answered(lane *ln, uint64_t sample, uint64_t now)
{
    if (!lives(ln->answered, now)) /* it is back: what it did not answer is lost */
        while (ln->late.first != NULL)
            take_off(ln->late.first, ON_LANE);
    ln->answered = now;
    smooth(&ln->rtt, &ln->rtt_var, sample);
    if (now - ln->second >= DNSBL_S) {
        ln->answers_before = now - ln->second < 2 * DNSBL_S ? ln->answers : 0;
        ln->answers = 0;
        ln->second = now;
    }
    ln->answers++;
}

void dnsbl_pace_answered(server *srv, attempt *a, uint64_t now)
{
    uint64_t sample = now - a->sent;
    lane_answered(a->lane, sample, now);
    srv->answers++;
    if (a->link[ON_WAY].on != NULL) {
        srv->measured = now;
        smooth(&srv->rtt, &srv->rtt_var, sample);
        note_least(srv, sample, now);
        while (srv->on_way.first != a)
            take_off(srv->on_way.first, ON_WAY);
        grow(srv, srv->full_at >= a->sent);
    } else if (now - srv->measured >= ALIVE_NS) { /* it is further off than was thought: all answers come late */
        srv->measured = now;
        srv->rtt = srv->least = srv->least_before = 0;
        smooth(&srv->rtt, &srv->rtt_var, sample);
        note_least(srv, sample, now);
    } else if (a->overdue) { /* it was not lost but waited, there or here: more are on their way than was thought */
        smooth(&srv->rtt, &srv->rtt_var, sample);
        grow(srv, false);
    }
    dnsbl_pace_forget(a);
    look_at_loss(srv, now);
}

void dnsbl_pace_lost(server *srv, const question *q, uint64_t now)
{
    /* Of a zone that is silent, or a nameserver, nothing is learnt about the way. */
    if (lives(srv->lanes[q->zone % LANES].answered, now))
        srv->losses++;
    look_at_loss(srv, now);
}

uint64_t dnsbl_pace_retry_ns(const server *srv, const question *q, uint64_t now)
{
    const lane *ln = &srv->lanes[q->zone % LANES];
    if (!lives(ln->answered, now))
        return q->timeout_ns;
    uint64_t usual = 2 * (ln->rtt + 4 * ln->rtt_var);
    uint64_t retry = (usual > RETRY_NS ? usual : RETRY_NS) << (q->sent < 4 ? q->sent : 4);
    return retry < q->timeout_ns ? retry : q->timeout_ns;
}
