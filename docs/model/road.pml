/*
 * The road of an event, from the commit at the door to the commit of its effect, with
 * everything that may die on the way. README.md beside this file says what is left out
 * and what each guard is good for.
 *
 * Two events ride on one ticket. A web process and two clocks publish, two workers work,
 * a broker forgets, and faults strike anywhere. One atomic block is one commit, or one
 * act of the broker. Time is any time: what is due at some instant is due whenever the
 * search likes, so every order of deadlines is tried.
 */

/* ---- What is tried (set with -D) ---------------------------------------------- */

#ifndef FAULTS
#define FAULTS 1            /* deaths, lost connections, doubled messages, a lost disk: in total */
#endif
#ifndef RAISES
#define RAISES 2            /* handlers that raise, in total */
#endif
#ifndef POISON
#define POISON 0            /* 1: the first event kills whoever runs it, and that costs no fault */
#endif
#ifndef FORGETS
#define FORGETS 0           /* 1: a dying worker's message is lost (the filesystem broker) */
#endif
#ifndef DISK_SAFE
#define DISK_SAFE 0         /* 1: the broker never loses its disk */
#endif

/* ---- Guards, each taken out with -D<name>=1 ------------------------------------- */

#ifndef BLIND_CLAIM
#define BLIND_CLAIM 0       /* the claim looks neither at the state nor at the lock */
#endif
#ifndef BLIND_SETTLE
#define BLIND_SETTLE 0      /* the settle overlooks what is open but locked by another */
#endif
#ifndef GONE_AT_CONFIRM
#define GONE_AT_CONFIRM 0   /* the row is deleted at the confirm, as in a plain outbox */
#endif
#ifndef EARLY_ACK
#define EARLY_ACK 0         /* the message is acked before its work is committed */
#endif
#ifndef SPLIT_RETRY
#define SPLIT_RETRY 0       /* a retry leaves its old ticket in one commit, gets the new one in the next */
#endif
#ifndef LOOSE_HANDLER
#define LOOSE_HANDLER 0     /* a handler's own commit() commits its effect without the outcome */
#endif
#ifndef LATE_COUNT
#define LATE_COUNT 0        /* the crash is counted in the transaction of the run, so it rolls back with it */
#endif
#ifndef UNCOUNTED_RUN
#define UNCOUNTED_RUN 0     /* what could not be counted, since another had it locked, is claimed all the same */
#endif
#ifndef CARE_FORGOTTEN
#define CARE_FORGOTTEN 0    /* what a careful delivery leaves on its row is not worked carefully the next time */
#endif
#ifndef BOLD_AGAIN
#define BOLD_AGAIN 0        /* a ticket that goes again is not worked carefully */
#endif
#ifndef NO_EVIDENCE
#define NO_EVIDENCE 0       /* a ticket goes again whenever its patience ends */
#endif

/* ---- Sizes ---------------------------------------------------------------------- */

#define K         2             /* more counted crashes than this and the event is dead (product: 3) */
#define ATTEMPTS  2             /* failed attempts after which the event is dead */
#ifndef KILLS
#define KILLS 0
#endif
#ifndef ROOM
#define ROOM      (3 + FAULTS)  /* more ready messages than this is growth without bound */
#endif

#define FIRST     0             /* the two events; as members of a set 1 and 2 */
#define SECOND    1
#define BIT(e)    (1 << (e))
#define BOTH      3

#define TICKETS   3             /* 0 names both events; 1 and 2 are their retries */
#define RETRY(e)  (1 + (e))
#define WORKERS   2             /* 0 and 1 */
#define NOBODY    WORKERS

#define PUBLISHERS 3            /* the web process and the two clocks */
#define NOTHING   TICKETS       /* no ticket */

/* ---- The ledger ------------------------------------------------------------------- */

#define ABSENT    0             /* not accepted yet */
#define PENDING   1
#define DONE      2
#define DEAD      3

byte state[2];                  /* of an event */
byte ticket_id[2];              /* the row that covers it */
byte holder[2] = NOBODY;        /* the worker that has it locked */
byte effect[2];                 /* how often its effect was committed */
byte crashes[2];                /* runs begun by the careful path and not ended */
byte attempts[2];               /* that failed */

#define NO_ROW    0
#define DUE       1             /* now, in 10 s, or at run_at: published_at is null */
#define OUT       2             /* published_at is set; its patience may end at any moment */

byte row[TICKETS];              /* a ticket's row */
byte named[TICKETS];            /* its event ids: what it covered when it was written last */
bool lead[TICKETS];             /* its instant was moved ahead for the publisher that has it */
bool known[TICKETS];            /* it has been out before */
bool careful_row[TICKETS];      /* work it carefully, however its message comes */

/* A ticket's revision goes up when a worker settles it, and a mark with an old revision is void.
   Here each publisher has the ticket that it may still mark, and the settle takes it away. */
byte may_mark[PUBLISHERS] = NOTHING;

/* What was taken for publishing while this ticket was out, as a set, and whether one of those has
   been worked since. The product compares instants; this knows a little less, and so publishes again
   a little more often. */
byte later[TICKETS];
bool passed[TICKETS];

#define OPEN(e)               (state[e] == PENDING)
#define COVERS(t, e)          (OPEN(e) && ticket_id[e] == t)
#define FREE(e)               (holder[e] == NOBODY)
#define ANY_OPEN(t)           (COVERS(t, FIRST) || COVERS(t, SECOND))
#define ANY_OPEN_AND_FREE(t)  (COVERS(t, FIRST) && FREE(FIRST) || COVERS(t, SECOND) && FREE(SECOND))
#define OPEN_SET(t)           (COVERS(t, FIRST) * BIT(FIRST) + COVERS(t, SECOND) * BIT(SECOND))

/* ---- The broker --------------------------------------------------------------------- */

/* A message: ticket, events, careful; all copied from the row when it was taken for publishing. */
chan ready    = [ROOM] of { byte, byte, bool };
chan returned = [ROOM] of { byte, byte, bool };     /* the same, flagged as redelivered */

byte in_hand_ticket[2], in_hand_events[2];      /* each worker's delivery */
bool unacked[2];                                /* it still is the worker's to ack */

#define my_ticket       in_hand_ticket[me]
#define my_events       in_hand_events[me]
#define my_message      unacked[me]
#define MINE(e)         (mine & BIT(e))

#define NOTHING_READY   (len(ready) == 0 && len(returned) == 0)
#define NOTHING_UNACKED (!unacked[0] && !unacked[1])

/* ---- What only the model knows -------------------------------------------------------- */

byte faults = FAULTS;           /* that may still strike */
byte raises = RAISES;           /* that handlers may still do */
byte kills;                     /* by the poisoned event */
byte undone[2];                 /* runs of this event that came to nothing, since its last outcome */

#define STRIKES   (faults > 0) -> faults--
#define IT_RAISES (raises > 0) -> raises--

/* ---- Properties ----------------------------------------------------------------------- */

/* P8, after every commit. Two guards are this rule itself: without them only its consequence
   is looked for, an event that is stuck. */
inline every_open_event_has_a_ticket() {
    assert(GONE_AT_CONFIRM || SPLIT_RETRY || !OPEN(FIRST) || row[ticket_id[FIRST]] != NO_ROW);
    assert(GONE_AT_CONFIRM || SPLIT_RETRY || !OPEN(SECOND) || row[ticket_id[SECOND]] != NO_ROW)
}

/* P1: when nothing can move any more, every event has ended and nothing is left lying about. */
proctype quiet() {
    timeout;
    assert(!OPEN(FIRST) && !OPEN(SECOND));
    assert(row[0] == NO_ROW && row[1] == NO_ROW && row[2] == NO_ROW);
    assert(NOTHING_READY && NOTHING_UNACKED)
}

/* ---- Parts of a commit ------------------------------------------------------------------ */

inline end_run(e) {
    holder[e] = NOBODY; crashes[e] = 0; undone[e] = 0
}

/* An outcome is written with the instant of its message: the evidence for what was out before. */
inline note_evidence() {
    passed[0] = passed[0] || (later[0] & BIT(my_ticket));
    passed[1] = passed[1] || (later[1] & BIT(my_ticket));
    passed[2] = passed[2] || (later[2] & BIT(my_ticket))
}

/* P2: the effect and the outcome, together or not at all, and once. */
inline succeed(e) {
    effect[e]++;
    assert(effect[e] == 1);
    state[e] = DONE; attempts[e] = 0;
    end_run(e);
    note_evidence()
}

/* The transaction is undone, by rollback or by the death of its connection, and its locks go.
   What a loose handler has committed by itself stays. */
inline roll_back(e) {
    if
    :: MINE(e) -> mine = mine & ~BIT(e); undone[e]++
    :: else
    fi;
    if
    :: holder[e] == me -> holder[e] = NOBODY; effect[e] = effect[e] + LOOSE_HANDLER
    :: else
    fi
}

inline forget_evidence(t) {
    later[t] = 0; passed[t] = false
}

inline drop(t) {
    row[t] = NO_ROW; named[t] = 0; lead[t] = false; known[t] = false; careful_row[t] = false;
    forget_evidence(t)
}

/* The row as a worker writes it: due, not out, and whatever publisher has it may not mark it. */
inline write_due(t) {
    row[t] = DUE; named[t] = OPEN_SET(t); lead[t] = false;
    forget_evidence(t);
    may_mark[0] = (may_mark[0] == t -> NOTHING : may_mark[0]);
    may_mark[1] = (may_mark[1] == t -> NOTHING : may_mark[1]);
    may_mark[2] = (may_mark[2] == t -> NOTHING : may_mark[2])
}

/* The last statement of a piece of work: the row goes with its last open event. What is still open
   stays on it and is due: now after a cut, in 10 s when another has it locked, because that other
   may still roll back. */
inline settle(t) {
    if
    :: row[t] == NO_ROW
    :: row[t] != NO_ROW && (!ANY_OPEN(t) || BLIND_SETTLE && !ANY_OPEN_AND_FREE(t)) -> drop(t)
    :: else -> write_due(t); careful_row[t] = careful_row[t] || careful && !CARE_FORGOTTEN
    fi;
    every_open_event_has_a_ticket()
}

/* ---- Publishing: the web's publisher thread and the clocks --------------------------------- */

inline publish() {
    assert(len(ready) < ROOM);          /* P6: no fault makes a queue grow without bound */
    ready!ticket,events,carefully
}

/* Only a row of the same revision: what a worker made due meanwhile stays due. */
inline mark_out() {
    if
    :: may_mark[me] != NOTHING && row[ticket] != NO_ROW ->
       if
       :: GONE_AT_CONFIRM -> drop(ticket)
       :: !GONE_AT_CONFIRM ->
          row[ticket] = OUT; lead[ticket] = false; known[ticket] = FORGETS;
          forget_evidence(ticket)
       fi
    :: else
    fi
}

inline let_go() {
    may_mark[me] = NOTHING; ticket = 0; events = 0; carefully = false
}

/* What follows the commit that gave a publisher the ticket. When it dies its lead ends; at once
   here, since a lead keeps nobody busy. */
inline publish_and_mark_out() {
    if
    :: atomic { publish(); events = 0; carefully = false }
    :: atomic { STRIKES; publish(); publish(); events = 0; carefully = false }                /* doubled */
    :: atomic { STRIKES; publish(); events = 0; carefully = false; lead[ticket] = false }     /* too slow */
    :: atomic { STRIKES; lead[ticket] = false; let_go(); goto end }
    fi;
    if
    :: atomic { mark_out(); let_go() }
    :: atomic { STRIKES; lead[ticket] = false; let_go() }
    fi;
}

/* Accept writes both events and their one ticket in one commit, the web's lead with it. A death
   before leaves nothing, and nobody was told 202. */
proctype web(byte me) {
    byte ticket, events;
    bool carefully;

    atomic {
        state[FIRST] = PENDING; state[SECOND] = PENDING;
        row[0] = DUE; named[0] = BOTH; lead[0] = true; may_mark[me] = 0; events = BOTH;
        every_open_event_has_a_ticket()
    };
    publish_and_mark_out();
end:
    skip
}

/* What is out goes again on evidence only: nothing is ready, or what went later has been worked. */
#define OVERDUE(t)      (row[t] == OUT && !lead[t] && (NOTHING_READY || passed[t] || NO_EVIDENCE))
#define HAS(w, t)       (in_hand_events[w] != 0 && in_hand_ticket[w] == t)
#define IN_HAND(t)      (HAS(0, t) || HAS(1, t))
#define TO_PUBLISH(t)   (row[t] == DUE && !lead[t] || OVERDUE(t) && ANY_OPEN(t) && (!IN_HAND(t) || faults > 0))
#define TO_DROP(t)      (OVERDUE(t) && !ANY_OPEN(t))

/* One clock gets it (skip locked) and moves its instant ahead by the lead. Where the broker does not
   tell a redelivery, what goes again goes carefully: it may have killed its worker. */
inline take(t) {
    faults = faults - (row[t] == OUT && IN_HAND(t));
    later[0] = later[0] | (BIT(t) * (t != 0 && row[0] == OUT));
    later[1] = later[1] | (BIT(t) * (t != 1 && row[1] == OUT));
    later[2] = later[2] | (BIT(t) * (t != 2 && row[2] == OUT));
    lead[t] = true; may_mark[me] = t;
    ticket = t; events = named[t]; carefully = careful_row[t] || known[t] && FORGETS && !BOLD_AGAIN
}

proctype clock(byte me) {
    byte ticket, events;
    bool carefully;
end:
    do
    :: atomic { TO_DROP(0) -> drop(0) }
    :: atomic { TO_DROP(1) -> drop(1) }
    :: atomic { TO_DROP(2) -> drop(2) }
    :: atomic { TO_PUBLISH(0) -> take(0); break }
    :: atomic { TO_PUBLISH(1) -> take(1); break }
    :: atomic { TO_PUBLISH(2) -> take(2); break }
    od;
    publish_and_mark_out();
    goto end
}

/* ---- The broker's own faults -------------------------------------------------------------- */

/* A worker loses its connection and goes on working: another gets the message meanwhile, and this
   one's ack is void. */
inline lose_connection(w) {
    unacked[w] = false;
    returned!in_hand_ticket[w],in_hand_events[w],true
}

proctype broker() {
    bool disk_lost = DISK_SAFE;
end:
    do
    :: atomic { unacked[0] && STRIKES; lose_connection(0) }
    :: atomic { unacked[1] && STRIKES; lose_connection(1) }
    :: atomic { !disk_lost && !(NOTHING_READY && NOTHING_UNACKED) && STRIKES;
                disk_lost = true;
                do
                :: ready?_,_,_
                :: returned?_,_,_
                :: NOTHING_READY -> break
                od;
                unacked[0] = false; unacked[1] = false }
    od
}

/* ---- The workers ---------------------------------------------------------------------------- */

/* Named by the message, open, still covered by this ticket, not locked by another (skip locked). */
#define CLAIMABLE(e)    ((my_events & BIT(e)) && (BLIND_CLAIM || COVERS(my_ticket, e) && FREE(e)))

inline claim(e) {
    if
    :: CLAIMABLE(e) -> holder[e] = me; mine = mine | BIT(e)
    :: else
    fi
}

inline succeed_if_mine(e) {
    if
    :: MINE(e) -> succeed(e)
    :: else
    fi
}

/* No event is dead for crashes that never were. But the lock is not held between the count and the
   run, so a worker that comes in between counts the same crash once more. */
inline bury(e) {
    assert(2 * undone[e] >= K);
    state[e] = DEAD; attempts[e] = 0;
    end_run(e);
    note_evidence()
}

/* A failed attempt: dead, or a new ticket for a later instant in the same commit. */
inline fail(e) {
    attempts[e]++;
    end_run(e);
    note_evidence();
    if
    :: attempts[e] >= ATTEMPTS -> state[e] = DEAD; attempts[e] = 0
    :: else ->
       ticket_id[e] = RETRY(e);
       if
       :: SPLIT_RETRY
       :: !SPLIT_RETRY -> write_due(RETRY(e))
       fi
    fi
}

/* After the last event of the message, or where it is cut, the row is settled in the same commit. */
#define LAST(e)     (e == SECOND || my_events == BIT(FIRST))

inline end_work() {
    mine = 0; e = 0; careful = false
}

inline settle_or_go_on() {
    every_open_event_has_a_ticket();
    if
    :: settle(my_ticket); end_work(); goto acknowledge
    :: !LAST(e) -> mine = 0; e = SECOND; goto one_by_one
    fi
}

#define COUNTS      (careful && !LATE_COUNT)

inline begin() {
    my_message = !EARLY_ACK;
    e = (my_events == BIT(SECOND) -> SECOND : FIRST);
    if
    :: careful || my_events != BOTH -> goto one_by_one
    :: else
    fi
}

inline claim_or_go_on() {
    if
    :: CLAIMABLE(e) -> holder[e] = me; mine = mine | BIT(e)
    :: else -> settle_or_go_on()
    fi
}

inline rest() {
    my_message = false; my_ticket = 0; my_events = 0; doomed = false;
    end_work()
}

/* Its transaction is undone, and what was not acked comes back, flagged as redelivered. */
inline worker_dies() {
    roll_back(FIRST); roll_back(SECOND);
    if
    :: my_message && !FORGETS -> returned!my_ticket,my_events,true
    :: else
    fi;
    rest()
}

#define POISONED    (POISON && MINE(FIRST))

inline poison_kills() {
    kills++;
    assert(kills <= KILLS + 1 + K + FAULTS - faults);   /* one bold run, K careful ones, one more for each fault */
    worker_dies()
}

proctype worker(byte me) {
    byte mine, e;
    bool careful, doomed;

    /* Take a message; then, unless it asks for care, claim its whole bundle. */
end:
    if
    :: atomic { ready?my_ticket,my_events,careful; begin() }
    :: atomic { returned?my_ticket,my_events,careful; begin() }
    fi;
    atomic {
        claim(FIRST); claim(SECOND);
        if
        :: !MINE(FIRST) && !MINE(SECOND) -> settle(my_ticket); end_work(); goto acknowledge
        :: else
        fi
    };

    /* The handlers run in one transaction; nobody sees anything of it until it ends. */
    if
    :: atomic { !POISONED; succeed_if_mine(FIRST); succeed_if_mine(SECOND);
                settle(my_ticket); end_work(); goto acknowledge }
    :: atomic { !POISONED && MINE(FIRST) && MINE(SECOND) -> succeed(FIRST); holder[SECOND] = NOBODY;   /* cut */
                settle(my_ticket); end_work(); goto acknowledge }
    :: atomic { !POISONED && IT_RAISES; roll_back(FIRST); roll_back(SECOND) }
    :: atomic { POISONED; poison_kills(); goto end }
    :: atomic { STRIKES; worker_dies(); goto end }
    fi;

    /* After a bundle that raised, and on the careful path: one event, one transaction. On the careful
       path the count of the run is committed before it; only an end of the run takes it back. */
one_by_one:
    if
    :: atomic { COUNTS && CLAIMABLE(e) -> crashes[e]++; doomed = crashes[e] > K }
    :: atomic { COUNTS && !CLAIMABLE(e) && UNCOUNTED_RUN }
    :: atomic { COUNTS && !CLAIMABLE(e) && !UNCOUNTED_RUN -> settle_or_go_on() }
    :: atomic { !COUNTS -> claim_or_go_on(); goto running }
    fi;
    if
    :: atomic { !doomed -> claim_or_go_on() }
    :: atomic { doomed -> doomed = false;
                if
                :: CLAIMABLE(e) -> bury(e)
                :: else
                fi;
                settle_or_go_on() }
    :: atomic { STRIKES; undone[e]++; worker_dies(); goto end }
    fi;
running:
    if
    :: atomic { !POISONED; succeed(e); settle_or_go_on() }
    :: atomic { !POISONED && IT_RAISES; roll_back(e) }
    :: atomic { POISONED; poison_kills(); goto end }
    :: atomic { STRIKES; worker_dies(); goto end }
    fi;

    /* Its effects are undone; what came of it is written in a transaction of its own. */
    if
    :: atomic { CLAIMABLE(e) -> fail(e);
                if
                :: SPLIT_RETRY
                :: !SPLIT_RETRY -> settle_or_go_on()
                fi }
    :: atomic { !CLAIMABLE(e) -> settle_or_go_on() }
    :: atomic { STRIKES; worker_dies(); goto end }
    fi;
    if                                                      /* reached with SPLIT_RETRY only */
    :: atomic { OPEN(e) -> write_due(RETRY(e)); settle_or_go_on() }
    :: atomic { !OPEN(e) -> settle_or_go_on() }
    :: atomic { STRIKES; worker_dies(); goto end }
    fi;

    /* Only now, after the commit: a message that comes again finds nothing open. */
acknowledge:
    if
    :: atomic { rest(); goto end }
    :: atomic { my_message && STRIKES; worker_dies(); goto end }
    fi
}

init {
    atomic { run web(0); run clock(1); run clock(2); run worker(0); run worker(1); run broker(); run quiet() }
}
