/*
 * Two events of one type, each on a ticket of its own, which a worker may join into one transaction; an operator who
 * cancels the first, and two who replay it when it is dead. README.md says what each guard is good for.
 *
 * Beside road.pml, which has what may befall a ticket on its way: here to publish is one step, and each event keeps its
 * ticket, which has its number. An atomic block is one commit, or one act of the broker.
 */

#ifndef FAULTS
#define FAULTS 1        /* workers and operators that die, and lost connections: in total */
#endif
#ifndef RAISES
#define RAISES 2        /* errors of the first event's handler; the others never raise */
#endif
#ifndef WITHOUT
#define WITHOUT 0       /* one of the guards: it is taken out */
#endif

#define ATTEMPTS 2      /* as many failed attempts, and the event is dead */

#define PARTED          1       /* joined: an error is that of the event that raised; the others are worked without it */
#define ACK_ALL         2       /* joined: all messages are acked after the commit, and come again together */
#define CANCEL_NOWAIT   3       /* cancel: not what a worker has locked */
#define FROM_PENDING    4       /* claim: only what is open */
#define LETTER_ONCE     5       /* replay: only a letter that was not replayed */
#define REPLAY_COVERED  6       /* replay: the new event comes with its ticket, in one commit */

#define WITH(guard)     (WITHOUT != guard)

#define BIT(n)          (1 << (n))
#define NOBODY          2

#define PENDING         1       /* 0: there is none */
#define DONE            2
#define DEAD            3
#define CANCELLED       4

#define NO_ROW          0
#define DUE             1
#define OUT             2

byte state[4], attempts[4], effect[4];  /* the two events, and the replays of the first by one operator or the other */
byte holder[4] = NOBODY;
byte row[4];
bool cancelled;                         /* the operator was told so */
byte replays;

chan ready    = [6] of { byte };
chan returned = [6] of { byte };        /* to be delivered again */
byte in_hand[2];                        /* the set of tickets that a worker has not acked */

byte faults = FAULTS, raises = RAISES;

#define STRIKES         (faults > 0) -> faults--
#define ON_ITS_WAY(t)   (ready??[eval(t)] || returned??[eval(t)] || (in_hand[0] | in_hand[1]) & BIT(t))

#define COVERED(e)      (state[e] != PENDING || row[e] != NO_ROW)
#define ONCE(e)         (effect[e] <= 1)
#define SOON(t)         (row[t] != OUT || state[t] != PENDING || ON_ITS_WAY(t))
#define RIGHTLY_DEAD(e) (state[e] != DEAD || e == 0)
#define CLEAN           (!cancelled || !effect[0])
#define REPLAYED_ONCE   (replays <= 1)
#define ENDED(e)        (!state[e] || state[e] == DONE && effect[e] == 1 || state[e] > DONE && !effect[e])

proctype quiet() {
    timeout;
    assert(ENDED(0) && ENDED(1) && ENDED(2) && ENDED(3));
    assert(!row[0] && !row[1] && !row[2] && !row[3] && !len(ready) && !len(returned) && !in_hand[0] && !in_hand[1])
}

/* A ticket that is out, and whose message is nowhere, waits for the end of its patience. */
proctype clock(byte t) {
end:
    do
    :: atomic { row[t] == DUE -> row[t] = OUT; ready!t }
    :: atomic { row[t] == OUT && !ON_ITS_WAY(t) ->
                assert(SOON(t));
                row[t] = (state[t] == PENDING -> DUE : NO_ROW) }
    od
}

inline give_back(w) {
    if :: in_hand[w] & BIT(0) -> returned!0 :: else fi;
    if :: in_hand[w] & BIT(1) -> returned!1 :: else fi;
    if :: in_hand[w] & BIT(2) -> returned!2 :: else fi;
    if :: in_hand[w] & BIT(3) -> returned!3 :: else fi;
    in_hand[w] = 0
}

proctype broker() {
    byte w;
end:
    do
    :: atomic { in_hand[0] && STRIKES; w = 0; give_back(w) }            /* the worker goes on without its messages */
    :: atomic { in_hand[1] && STRIKES; w = 1; give_back(w); w = 0 }
    od
}

#define CLAIMABLE(e)    (mine & BIT(e) && (state[e] == PENDING || !WITH(FROM_PENDING)) && holder[e] == NOBODY)

inline claim(e) {
    if :: CLAIMABLE(e) -> holder[e] = me :: else -> mine = mine & ~BIT(e) fi
}

inline let_go(e) {
    if :: holder[e] == me -> holder[e] = NOBODY :: else fi
}

/* What is open but was locked by another is due again, for that one may still roll back. */
inline settle(e) {
    if
    :: tickets & BIT(e) && state[e] == PENDING -> row[e] = DUE
    :: tickets & BIT(e) && state[e] != PENDING -> row[e] = NO_ROW
    :: else
    fi;
    assert(COVERED(e))
}

inline succeed(e) {
    if
    :: mine & BIT(e) ->
       effect[e]++; state[e] = DONE;
       assert(ONCE(e));
       assert(CLEAN)
    :: else
    fi;
    let_go(e); settle(e)
}

inline fail(e) {
    if
    :: mine & BIT(e) ->
       attempts[e]++;
       state[e] = (attempts[e] == ATTEMPTS -> DEAD : state[e]);
       assert(RIGHTLY_DEAD(e))
    :: else
    fi;
    let_go(e); settle(e)
}

proctype worker(byte me) {
    byte t, mine, tickets;
end:
    if
    :: atomic { returned?t -> tickets = BIT(t); in_hand[me] = tickets }         /* it joins nobody */
    :: atomic { ready?t -> tickets = BIT(t); in_hand[me] = tickets;
                if
                :: len(ready) -> ready?t; tickets = tickets | BIT(t); in_hand[me] = in_hand[me] | BIT(t) * WITH(ACK_ALL)
                :: true
                fi }
    fi;
    mine = tickets; t = 0;
again:
    if
    :: atomic { claim(0); claim(1); claim(2); claim(3) }
    :: atomic { STRIKES; goto dies }
    fi;
    if
    :: atomic { succeed(0); succeed(1); succeed(2); succeed(3) }
    :: atomic { mine & BIT(0) && raises > 0 -> raises--;
                if
                :: mine != BIT(0) && WITH(PARTED) ->
                   let_go(1); let_go(2); let_go(3); t = mine; mine = BIT(0); tickets = tickets & ~t | BIT(0);
                   fail(0); mine = t & ~BIT(0); tickets = mine; t = 0; goto again
                :: else -> fail(0); fail(1); fail(2); fail(3)
                fi }
    :: atomic { STRIKES; goto dies }
    fi;
    if
    :: atomic { in_hand[me] = 0; mine = 0; tickets = 0; goto end }              /* acked */
    :: atomic { STRIKES; goto dies }
    fi;
    atomic {
        false;
dies:   let_go(0); let_go(1); let_go(2); let_go(3); give_back(me); t = 0; mine = 0; tickets = 0; goto end
    }
}

proctype operator() {
    if
    :: atomic { state[0] == PENDING && (holder[0] == NOBODY || !WITH(CANCEL_NOWAIT)) ->
                state[0] = CANCELLED; row[0] = NO_ROW; cancelled = true;
                assert(CLEAN) }
    :: true                                                                     /* who comes too late is told */
    fi
}

/* The second one to lock the letter reads whose replay it is. */
proctype replayer(byte new) {
end:
    if
    :: atomic { state[0] == DEAD && (!replays || !WITH(LETTER_ONCE)) ->
                replays++; state[new] = PENDING; row[new] = (WITH(REPLAY_COVERED) -> DUE : NO_ROW);
                assert(REPLAYED_ONCE);
                assert(COVERED(new)) }
    fi
}

init {
    atomic {
        state[0] = PENDING; state[1] = PENDING; row[0] = DUE; row[1] = DUE;
        run clock(0); run clock(1); run clock(2); run clock(3); run worker(0); run worker(1); run broker();
        run operator(); run replayer(2); run replayer(3); run quiet()
    }
}
