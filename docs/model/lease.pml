/*
 * A detached event: its run has a lease and a ticket of its own, which is due when the lease ends. Workers die, or are so
 * slow that they are taken for dead and come back; an operator asks the run to stop. README.md says what each guard is
 * good for. An atomic block is one commit, or one act of the broker. Messages are acked when a worker takes them.
 */

#ifndef FAULTS
#define FAULTS 2        /* workers that die, and leases that end while their workers live: in total */
#endif
#ifndef RAISES
#define RAISES 1
#endif
#ifndef WITHOUT
#define WITHOUT 0
#endif

#define ATTEMPTS 2

#define FENCED          1       /* what is said of a run names its ticket */
#define FRESH_TICKET    2       /* each run has a ticket of its own */
#define LIVE            3       /* nobody takes over while the lease lasts */
#define ONE_COMMIT      4       /* the old ticket goes in the commit that writes the new one */
#define LEASE_IS_DUE    5       /* the ticket of a run is due when its lease ends */
#define ASKED           6       /* who was asked to stop is not begun again */

#define WITH(guard)     (WITHOUT != guard)

#define NOBODY          2

#define PENDING         1
#define RUNNING         2
#define DONE            3
#define DEAD            4
#define CANCELLED       5

#define NO_ROW          0
#define HELD            1       /* not due before the lease ends */
#define DUE             2
#define OUT             3

byte state = PENDING, attempt, ticket, row = DUE;
bool leased, asked;                     /* the lease lasts; the run was asked to stop */
bool runs[2], sure[2];                  /* a worker is at it; and by its own lease it is alone */
byte ends;                              /* outcomes that were committed */

chan ready = [4] of { byte };

byte faults = FAULTS, raises = RAISES;

#define STRIKES         (faults > 0) -> faults--

#define OPEN            (state == PENDING || state == RUNNING)
#define COVERED         (!OPEN || row != NO_ROW)
#define ALONE(w)        (sure[1 - w] == false)
#define NOT_AFTER       (asked == false)
#define ENDED           (!OPEN && ends == 1 && row == NO_ROW)

proctype quiet() {
    timeout;
    assert(ENDED)
}

proctype clock() {
end:
    do
    :: atomic { row == DUE && nfull(ready) -> row = OUT; ready!ticket }
    :: atomic { row == OUT && !ready??[eval(ticket)] && state == PENDING -> row = DUE }         /* its patience ends */
    :: atomic { row == OUT && !ready??[eval(ticket)] && state == RUNNING && !leased -> row = DUE }
    od
}

inline lapse() {
    leased = false; sure[0] = false; sure[1] = false;
    row = (WITH(LEASE_IS_DUE) -> DUE : row)
}

/* A lease ends when its worker is dead; or before, which is a fault. */
proctype time() {
end:
    do
    :: atomic { state == RUNNING && leased && !sure[0] && !sure[1] -> lapse() }
    :: atomic { state == RUNNING && leased && (sure[0] || sure[1]) && STRIKES; lapse() }
    od
}

inline finish(outcome) {
    state = outcome; row = NO_ROW; leased = false; ends++
}

inline stop() {
    runs[me] = false; sure[me] = false
}

inline begin_run() {
    assert(ALONE(me));
    assert(NOT_AFTER);
    state = RUNNING; ticket = ticket + WITH(FRESH_TICKET); mine = ticket; leased = true; sure[me] = true; runs[me] = true;
    row = (WITH(ONE_COMMIT) -> HELD : NO_ROW);
    assert(COVERED)
}

#define HOLDS           (state == RUNNING && (ticket == mine || !WITH(FENCED)))

proctype worker(byte me) {
    byte t, mine;
end:
    atomic { ready?t };
    if
    :: atomic { t == ticket && state == PENDING -> attempt++; begin_run() }
    :: atomic { t == ticket && state == RUNNING && (!leased || !WITH(LIVE)) && (!asked || !WITH(ASKED)) -> begin_run() }
    :: atomic { t == ticket && state == RUNNING && !leased && asked && WITH(ASKED) -> finish(CANCELLED) }
    :: atomic { !(t == ticket && (state == PENDING || state == RUNNING && (!leased || !WITH(LIVE)))) }
    :: atomic { STRIKES }                                                       /* it dies with the message */
    fi;
    t = 0;
    do
    :: atomic { !runs[me] -> mine = 0; goto end }
    :: atomic { runs[me] && HOLDS && !sure[me] -> sure[me] = true; leased = true; row = HELD }  /* renewed, late */
    :: atomic { runs[me] && HOLDS && asked -> finish(CANCELLED); stop() }
    :: atomic { runs[me] && HOLDS -> finish(DONE); stop() }
    :: atomic { runs[me] && HOLDS && raises > 0 -> raises--;
                if
                :: asked && WITH(ASKED) -> finish(CANCELLED)
                :: !(asked && WITH(ASKED)) && attempt == ATTEMPTS -> finish(DEAD)
                :: !(asked && WITH(ASKED)) && attempt < ATTEMPTS ->
                   state = PENDING; ticket = ticket + WITH(FRESH_TICKET); row = DUE; leased = false
                fi;
                stop() }
    :: atomic { runs[me] && !HOLDS -> stop() }                                  /* LeaseLost */
    :: atomic { runs[me] && STRIKES; stop() }                                   /* it dies */
    od
}

proctype operator() {
    if
    :: atomic { state == PENDING -> finish(CANCELLED) }
    :: atomic { state == RUNNING -> asked = true }
    :: true
    fi
}

init {
    atomic { run clock(); run time(); run worker(0); run worker(1); run operator(); run quiet() }
}
