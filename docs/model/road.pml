/*
 * The road of two events that ride on one ticket, from the commit at the door to the commit of their effects, with
 * everything that may die on the way. README.md says what is left out, what each guard is good for, and what was found.
 *
 * A web process and two clocks publish, two workers work, and the broker forgets. An atomic block is one commit, or one
 * act of the broker; between two of them anything may happen. Time is any time: what is due at some instant is due
 * whenever the search likes, so that every order of deadlines is tried. The names are those of the code.
 */

/* ---- What is tried; -D<name>=<number> changes it ----------------------------------------------------------------- */

#ifndef FAULTS
#define FAULTS 1        /* deaths, outages, slowness, lost connections, messages and disks: in total */
#endif
#ifndef RAISES
#define RAISES 1        /* errors of handlers, and conflicts in the ledger: in total */
#endif
#ifndef POISON
#define POISON 0        /* the set of events that kill every worker that runs them; this costs no fault */
#endif
#ifndef DEMO
#define DEMO 0          /* 1: the demo broker, which forgets the message of a worker that dies */
#endif
#ifndef DISKS
#define DISKS 1         /* that the broker may lose */
#endif
#ifndef APART
#define APART 0         /* 1: no two deliveries of an event meet between two transactions of one turn */
#endif
#ifndef WITHOUT
#define WITHOUT 0       /* one of the guards: it is taken out */
#endif

#define CRASHES  2      /* more counted crashes than these, and the event is dead; 3 in the code */
#define ATTEMPTS 2      /* as many failed attempts, and the event is dead */

/* ---- The guards -------------------------------------------------------------------------------------------------- */

#define ANSWER_LAST     1       /* accept: 202 is said after the commit */
#define COMMIT_FIRST    2       /* accept: a ticket is published after the commit */
#define LEAD            3       /* take_due: one publisher at a time, for whom the instant is moved ahead */
#define EVIDENCE        4       /* take_overdue: only what was passed by */
#define CAREFUL_AGAIN   5       /* take_overdue: carefully, where the broker does not tell a redelivery */
#define ROW_STAYS       6       /* mark_out: the row stays; a plain outbox deletes it */
#define REVISION        7       /* mark_out: not what a worker has changed meanwhile */
#define LOCK            8       /* claim: only what is open and not locked, and it is locked then */
#define BY_TICKET       9       /* claim: only what this ticket still covers */
#define COUNT_FIRST     10      /* count_crash: before the run, in a commit of its own */
#define COUNTED_ONLY    11      /* count_crash: what could not be counted is not run */
#define TAKE_BACK       12      /* count_crash: not for a run that the ledger broke off while its process lived */
#define JOINED          13      /* finish: no effect without its outcome; a handler's commit() is none */
#define SAME_COMMIT     14      /* finish: no outcome without its effect */
#define SAME_RETRY      15      /* finish: a retry leaves its old ticket in the commit that writes the new one */
#define SEES_LOCKED     16      /* settle: what is open but locked by another keeps the row */
#define LOCKED_IS_DUE   17      /* settle: and makes it due in 10 s */
#define CARE_STAYS      18      /* settle: what a careful turn leaves over is worked carefully */
#define ACK_LAST        19      /* the message is acked after the commit */

#define WITH(guard)     (WITHOUT != guard)

/* ---- The ledger -------------------------------------------------------------------------------------------------- */

#define FIRST   0               /* the two events; in a set they are 1 and 2 */
#define SECOND  1
#define BOTH    3
#define BIT(n)  (1 << (n))

#define PENDING 1               /* 0 before it is accepted */
#define DONE    2
#define DEAD    3

#define NOBODY  2               /* no worker */

byte state[2], ticket_id[2], attempts[2], crashes[2];
byte effect[2];                 /* how often it was committed */
byte holder[2] = NOBODY;        /* the worker that has the event locked */

#define NO_ROW  0
#define DUE     1               /* now, in 10 s, or at run_at: published_at is null */
#define OUT     2               /* published_at is set, and its patience may end at any moment */

#define RETRY(e) (1 + (e))      /* ticket 0 is of both events, 1 and 2 of their retries */

byte row[3];                    /* of a ticket */
byte event_ids[3];              /* a set */
bool careful_row[3], published[3];
bool lead[3];                   /* its instant was moved ahead for a publisher */
byte may_mark[3];               /* the set of publishers that took it in its present revision */
byte later[3];                  /* the set of tickets that were taken for publishing while it was out */
bool passed[3];                 /* one of them was worked since */

#define OPEN(e)         (state[e] == PENDING)
#define COVERS(t, e)    (OPEN(e) && ticket_id[e] == t)
#define OPEN_SET(t)     (COVERS(t, FIRST) * BIT(FIRST) + COVERS(t, SECOND) * BIT(SECOND))
#define FREE_SET        ((holder[FIRST] == NOBODY) * BIT(FIRST) + (holder[SECOND] == NOBODY) * BIT(SECOND))

/* ---- The broker -------------------------------------------------------------------------------------------------- */

#define ROOM (3 + FAULTS)

chan ready    = [ROOM] of { byte, byte, bool };         /* ticket, events, careful */
chan returned = [ROOM] of { byte, byte, bool };         /* to be delivered again */

byte in_hand_ticket[2], in_hand_events[2];              /* each worker's delivery */
bool unacked[2];                                        /* it still is the worker's to ack */

#define NOTHING_READY   (len(ready) + len(returned) == 0)
#define NOTHING_UNACKED (!unacked[0] && !unacked[1])
#define IN_HAND(w, t)   (in_hand_events[w] && in_hand_ticket[w] == t)
#define ON_ITS_WAY(t)   (ready??[eval(t),_,_] || returned??[eval(t),_,_] || IN_HAND(0, t) || IN_HAND(1, t))

/* ---- What only the model knows ----------------------------------------------------------------------------------- */

byte faults = FAULTS, raises = RAISES;                  /* that may still come */
byte kills;                                             /* by poisoned events */
bool told;                                              /* the client has its 202 */
bool forgot;                                            /* the broker has lost a message */
bool came[3];                                           /* the instant of this ticket came */

#define STRIKES         (faults > 0) -> faults--
#define IT_RAISES       (raises > 0) -> raises--
#define STRUCK          (FAULTS - faults)

/* ---- Properties -------------------------------------------------------------------------------------------------- */

/* P8, after every commit. ROW_STAYS is this rule itself: without it only the end is looked at. */
#define COVERED(e)      (!OPEN(e) || event_ids[ticket_id[e]] & BIT(e) || !WITH(ROW_STAYS))

/* P2. */
#define ONCE(e)         (effect[e] <= 1)

/* P6: no ticket is published over and over. */
#define ROOM_LEFT       (len(ready) < ROOM)

/* The patience of minutes is waited out for a loss of the broker only; after any other fault a ticket is due soon. */
#define SOON(t)         (row[t] == DUE || ON_ITS_WAY(t) || forgot)

/* A retry waits for its instant. */
#define NOT_BEFORE(e)   (ticket_id[e] == 0 || came[ticket_id[e]])

/* A poisoned event kills one worker uncounted, and then one for each crash that is counted. */
#define FEW_KILLS       (kills <= 1 + CRASHES + 2 * STRUCK)

/* An innocent event is buried for as many faults as CRASHES; for fewer, but not for none, if two deliveries met. */
#define RIGHTLY_DEAD(e) (POISON & BIT(e) || STRUCK >= (APART -> CRASHES : 1))

/* P1, P2: what was promised has ended, with its effect or without. */
#define ENDED(e)        (state[e] == DONE && effect[e] == 1 || state[e] == DEAD && effect[e] == 0 || !state[e] && !told)

/* When nothing can move any more, all is worked, and nothing is left lying about. */
proctype quiet() {
    timeout;
    assert(ENDED(FIRST) && ENDED(SECOND));
    assert(row[0] == NO_ROW && row[1] == NO_ROW && row[2] == NO_ROW && NOTHING_READY && NOTHING_UNACKED)
}

/* And it comes to that: no two keep each other busy for ever. */
ltl ends { <>[] (ENDED(FIRST) && ENDED(SECOND)) }

/* ---- Tickets ----------------------------------------------------------------------------------------------------- */

/* With a new revision: who has it for publishing may not mark it any more. */
inline write(t, what, ids) {
    row[t] = what; event_ids[t] = ids; lead[t] = false; may_mark[t] = 0; later[t] = 0; passed[t] = false
}

inline drop(t) {
    write(t, NO_ROW, 0); careful_row[t] = false; published[t] = false
}

/* ---- Publish: the web process and the clocks --------------------------------------------------------------------- */

inline send() {
    assert(ROOM_LEFT);
    ready!ticket,events,careful
}

inline mark_out() {
    if
    :: row[ticket] != NO_ROW && (may_mark[ticket] & BIT(me) || !WITH(REVISION)) ->
       if
       :: WITH(ROW_STAYS) -> row[ticket] = OUT; lead[ticket] = false; published[ticket] = true;
                             later[ticket] = 0; passed[ticket] = false
       :: !WITH(ROW_STAYS) -> drop(ticket)
       fi
    :: else
    fi
}

inline let_go() {
    may_mark[ticket] = may_mark[ticket] & ~BIT(me); ticket = 0; events = 0; careful = false
}

/* When a publisher dies, its lead ends after some seconds: at once here, for nobody else is kept busy by it. */
inline publish() {
    if
    :: atomic { send() }
    :: atomic { STRIKES; lead[ticket] = false; send() }                     /* slower than its lead */
    :: atomic { STRIKES; lead[ticket] = false; let_go(); goto end }         /* dead, or without a broker */
    fi;
    if
    :: atomic { mark_out(); let_go() }
    :: atomic { STRIKES; lead[ticket] = false; let_go() }                   /* dead after the confirm */
    fi
}

proctype web(byte me) {
    byte ticket, events = BOTH;
    bool careful;

    atomic {
        told = !WITH(ANSWER_LAST);
        if
        :: !WITH(COMMIT_FIRST) -> send()
        :: WITH(COMMIT_FIRST)
        fi
    };
    if
    :: atomic { state[FIRST] = PENDING; state[SECOND] = PENDING; write(0, DUE, BOTH); lead[0] = true;
                may_mark[0] = BIT(me); told = true }
    :: atomic { STRIKES; goto end }
    fi;
    if
    :: WITH(COMMIT_FIRST) -> publish()
    :: atomic { !WITH(COMMIT_FIRST) -> mark_out(); let_go() }
    fi;
end:
    skip
}

/* A patience that ends while the message is on its way is a fault like others. */
#define OVERDUE(t)      (row[t] == OUT && !lead[t] && (NOTHING_READY || passed[t] || !WITH(EVIDENCE)))
#define TOO_EARLY(t)    (row[t] == OUT && ON_ITS_WAY(t) && WITH(EVIDENCE))
#define TO_PUBLISH(t)   (row[t] == DUE && !lead[t] || OVERDUE(t) && OPEN_SET(t) && (!TOO_EARLY(t) || faults > 0))
#define TO_DROP(t)      (OVERDUE(t) && !OPEN_SET(t))
#define PASSED_BY(u, t) (u != t && row[u] == OUT) * BIT(t)

inline take(t) {
    assert(SOON(t));
    faults = faults - TOO_EARLY(t);
    later[0] = later[0] | PASSED_BY(0, t); later[1] = later[1] | PASSED_BY(1, t); later[2] = later[2] | PASSED_BY(2, t);
    lead[t] = WITH(LEAD); may_mark[t] = may_mark[t] | BIT(me); came[t] = true;
    ticket = t; events = event_ids[t]; careful = careful_row[t] || DEMO && published[t] && WITH(CAREFUL_AGAIN)
}

proctype clock(byte me) {
    byte ticket, events;
    bool careful;
end:
    do
    :: atomic { TO_DROP(0) -> drop(0) }
    :: atomic { TO_DROP(1) -> drop(1) }
    :: atomic { TO_DROP(2) -> drop(2) }
    :: atomic { TO_PUBLISH(0) -> take(0); break }
    :: atomic { TO_PUBLISH(1) -> take(1); break }
    :: atomic { TO_PUBLISH(2) -> take(2); break }
    od;
    publish();
    goto end
}

/* ---- The broker's own faults ------------------------------------------------------------------------------------- */

/* The worker goes on; another gets the message too, and the ack of this one is void. */
inline lose_connection(w) {
    unacked[w] = false; returned!in_hand_ticket[w],in_hand_events[w],true
}

proctype broker() {
    byte t, disks = DISKS;
end:
    do
    :: atomic { unacked[0] && STRIKES; lose_connection(0) }
    :: atomic { unacked[1] && STRIKES; lose_connection(1) }
    :: atomic { len(returned) && STRIKES;                   /* through the queue `dead`, which a clock empties */
                returned?t,_,_;
                if
                :: row[t] != NO_ROW -> write(t, DUE, event_ids[t])
                :: row[t] != NO_ROW -> write(t, DUE, event_ids[t]); careful_row[t] = true      /* delivered too often */
                :: row[t] == NO_ROW
                fi;
                t = 0 }
    :: atomic { disks && !(NOTHING_READY && NOTHING_UNACKED) && STRIKES;
                disks--; forgot = true; unacked[0] = false; unacked[1] = false;
                do
                :: ready?_,_,_
                :: returned?_,_,_
                :: NOTHING_READY -> break
                od }
    od
}

/* ---- Execute: the workers ---------------------------------------------------------------------------------------- */

#define my_ticket       in_hand_ticket[me]
#define my_events       in_hand_events[me]
#define MINE(e)         (mine & BIT(e))
#define POISONED        (mine & POISON)
#define CLAIMABLE(e)    (my_events & BIT(e) && (OPEN(e) && (holder[e] == NOBODY || MINE(e)) || !WITH(LOCK)) && \
                         (ticket_id[e] == my_ticket || !WITH(BY_TICKET)))
#define UNCOUNTED(e)    (careful && !(counted & BIT(e)) && WITH(COUNT_FIRST))

inline claim(e) {
    if
    :: CLAIMABLE(e) -> assert(NOT_BEFORE(e)); holder[e] = me; mine = mine | BIT(e)
    :: else
    fi
}

/* If the ledger could: the lock outlasts the transaction. */
inline keep_lock(e) {
    if
    :: APART -> claim(e)
    :: !APART
    fi
}

/* The instant of its message goes with an outcome: the evidence for all that was out before. */
inline finish(e, outcome) {
    state[e] = outcome; holder[e] = NOBODY; crashes[e] = 0;
    attempts[e] = (outcome == PENDING -> attempts[e] : 0);
    passed[0] = passed[0] || later[0] & BIT(my_ticket);
    passed[1] = passed[1] || later[1] & BIT(my_ticket);
    passed[2] = passed[2] || later[2] & BIT(my_ticket)
}

inline succeed(e) {
    if
    :: MINE(e) -> effect[e]++; assert(ONCE(e)); finish(e, DONE)
    :: else
    fi
}

/* A failed attempt: dead, or a new ticket for a later instant. */
inline fail(e) {
    attempts[e]++;
    if
    :: attempts[e] == ATTEMPTS -> finish(e, DEAD)
    :: attempts[e] < ATTEMPTS && WITH(SAME_RETRY) ->
       finish(e, PENDING); ticket_id[e] = RETRY(e); write(RETRY(e), DUE, BIT(e))
    :: attempts[e] < ATTEMPTS && !WITH(SAME_RETRY) -> finish(e, PENDING); ticket_id[e] = RETRY(e)
    fi
}

/* The transaction is undone, by a rollback or with its connection, and its locks go. */
inline undo(e) {
    if
    :: MINE(e) && holder[e] == me ->
       holder[e] = NOBODY; effect[e] = effect[e] + !WITH(JOINED); state[e] = (WITH(SAME_COMMIT) -> state[e] : DONE)
    :: else
    fi
}

inline roll_back() { undo(FIRST); undo(SECOND); mine = 0 }

inline put_down() {
    unacked[me] = false; my_ticket = 0; my_events = 0; careful = false; counted = 0; doomed = 0; e = 0
}

/* What the settle sees. A message that names a part of the row's events leaves the row alone. An outbox that deletes
   its row would write another for what is left of a cut. */
#define MY_ROW      (row[my_ticket] != NO_ROW && !(event_ids[my_ticket] & ~my_events) || cut && !WITH(ROW_STAYS))
#define LEFT_OPEN   (OPEN_SET(my_ticket) & my_events & (WITH(SEES_LOCKED) -> BOTH : FREE_SET))

#define DIES        atomic { STRIKES; goto dies }
#define OUTAGE      atomic { STRIKES; goto broken_off }

proctype worker(byte me) {
    byte e;                             /* the event at work, where they are worked singly */
    byte mine, counted, doomed;         /* sets: locked; its crash counted by this delivery; and found too often */
    bool careful, cut;

end:
    if
    :: atomic { ready?my_ticket,my_events,careful; unacked[me] = WITH(ACK_LAST) }
    :: atomic { returned?my_ticket,my_events,careful; unacked[me] = WITH(ACK_LAST) }
    fi;

again:
    if
    :: atomic { careful || my_events != BOTH -> e = (my_events == BIT(SECOND)); goto singly }
    :: atomic { !careful && my_events == BOTH -> claim(FIRST); claim(SECOND) }
    fi;

    /* The bundle: all in one transaction, of which nobody sees anything until it ends. */
    if
    :: atomic { !POISONED -> succeed(FIRST); succeed(SECOND); goto settle }
    :: atomic { mine == BOTH && !(POISON & BIT(FIRST)) -> succeed(FIRST); holder[SECOND] = NOBODY;
                cut = true; goto settle }
    :: atomic { mine && IT_RAISES; roll_back() }
    :: atomic { mine && IT_RAISES; goto broken_off }            /* a conflict */
    :: atomic { POISONED -> goto killed }
    :: OUTAGE
    :: DIES
    fi;

    /* One by one, each in a transaction. Where care is asked for the crash is counted first, as if it had happened. */
singly:
    if
    :: atomic { UNCOUNTED(e) && CLAIMABLE(e) -> crashes[e]++; counted = counted | BIT(e); keep_lock(e);
                doomed = doomed | BIT(e) * (crashes[e] > CRASHES) }
    :: atomic { UNCOUNTED(e) && CLAIMABLE(e) && STRIKES; crashes[e]++; goto broken_off }        /* was it committed? */
    :: atomic { UNCOUNTED(e) && !CLAIMABLE(e) && WITH(COUNTED_ONLY) -> goto next }
    :: !UNCOUNTED(e) || !CLAIMABLE(e) && !WITH(COUNTED_ONLY)
    fi;
    if
    :: atomic { !CLAIMABLE(e) -> goto next }
    :: atomic { CLAIMABLE(e) && doomed & BIT(e) -> assert(RIGHTLY_DEAD(e)); finish(e, DEAD); goto next }
    :: atomic { CLAIMABLE(e) && !(doomed & BIT(e)) -> claim(e) }
    :: OUTAGE
    :: DIES
    fi;
    if
    :: atomic { !POISONED -> succeed(e); goto next }
    :: atomic { !POISONED && IT_RAISES; roll_back(); keep_lock(e) }
    :: atomic { !POISONED && IT_RAISES; roll_back(); keep_lock(e); goto take_back }        /* a conflict */
    :: atomic { POISONED -> goto killed }
    :: OUTAGE
    :: DIES
    fi;

    /* It raised. Its effects are undone; what came of it is written in a transaction of its own. */
    if
    :: atomic { CLAIMABLE(e) -> fail(e); goto next }
    :: atomic { !CLAIMABLE(e) -> goto next }
    :: OUTAGE
    :: DIES
    fi;

    /* The ledger broke the run off, but the process lives: what it had counted was no crash. */
take_back:
    if
    :: atomic { counted & BIT(e) && CLAIMABLE(e) && WITH(TAKE_BACK) ->
                crashes[e] = (crashes[e] > 0 -> crashes[e] - 1 : 0); counted = counted & ~BIT(e); goto broken_off }
    :: atomic { !(counted & BIT(e) && CLAIMABLE(e) && WITH(TAKE_BACK)) ->
                counted = (WITH(TAKE_BACK) -> counted : 0); goto broken_off }
    :: OUTAGE
    :: DIES
    fi;

    /* Only now, after the commit: a message that comes again finds nothing open. */
acknowledge:
    if
    :: atomic { put_down(); goto end }
    :: DIES
    fi;

    /* How a step goes on, in the same step. */
    atomic {
        false;

        /* To the next event, unless this was the last one or it is time to cut. */
next:   mine = 0;
        if
        :: e == FIRST && my_events == BOTH -> e = SECOND; goto singly
        :: e == FIRST && my_events == BOTH -> cut = true
        :: e == SECOND || my_events != BOTH
        fi;

        /* The row goes with its last open event. What is left is due: now after a cut, in 10 s when another has it
           locked, for that one may still roll back. */
settle: mine = 0;
        if
        :: MY_ROW && !LEFT_OPEN -> drop(my_ticket)
        :: MY_ROW && LEFT_OPEN && (cut || WITH(LOCKED_IS_DUE)) ->
           write(my_ticket, DUE, LEFT_OPEN);
           careful_row[my_ticket] = careful_row[my_ticket] || careful && WITH(CARE_STAYS)
        :: else
        fi;
        assert(COVERED(FIRST) && COVERED(SECOND));
        cut = false;
        goto acknowledge;

        /* The process lives; it waits and begins again, or gives the message back. */
broken_off:
        roll_back(); e = 0;
        if
        :: goto again
        :: unacked[me] -> returned!my_ticket,my_events,true
        :: !unacked[me]
        fi;
        put_down();
        goto end;

killed: kills++;
        assert(FEW_KILLS);

        /* Its transaction is undone, and what was not acked comes again. */
dies:   roll_back();
        if
        :: unacked[me] && !DEMO -> returned!my_ticket,my_events,true
        :: unacked[me] && DEMO -> forgot = true
        :: else
        fi;
        put_down();
        goto end
    }
}

init {
    atomic { run web(0); run clock(1); run clock(2); run worker(0); run worker(1); run broker(); run quiet() }
}
