/* Owns: the slots and the list of marked mailboxes. Must not: allocate.
 */
#include "roster.h"

#include "mailbox.h"

static struct gn_mailbox **slot(struct gn_roster *r, uint64_t id) {
  return &r->slots[id % GN_ROSTER_SLOTS];
}

void gn_roster_add(struct gn_roster *r, struct gn_mailbox *m) {
  struct gn_mailbox **head;
  m->id = ++r->last_id;
  head = slot(r, m->id);
  m->next_same = *head;
  *head = m;
}

static void unmark(struct gn_roster *r, struct gn_mailbox *m) {
  if (!m->marked)
    return;
  if (m->prev_marked)
    m->prev_marked->next_marked = m->next_marked;
  else
    r->first = m->next_marked;
  if (m->next_marked)
    m->next_marked->prev_marked = m->prev_marked;
  else
    r->last = m->prev_marked;
  m->prev_marked = m->next_marked = NULL;
  m->marked = false;
}

void gn_roster_remove(struct gn_roster *r, struct gn_mailbox *m) {
  struct gn_mailbox **link = slot(r, m->id);
  unmark(r, m);
  while (*link != m)
    link = &(*link)->next_same;
  *link = m->next_same;
}

struct gn_mailbox *gn_roster_find(struct gn_roster *r, uint64_t id) {
  struct gn_mailbox *m = *slot(r, id);
  while (m && m->id != id)
    m = m->next_same;
  return m;
}

void gn_roster_mark(struct gn_roster *r, struct gn_mailbox *m) {
  if (m->marked)
    return;
  m->marked = true;
  m->prev_marked = r->last;
  if (r->last)
    r->last->next_marked = m;
  else
    r->first = m;
  r->last = m;
}

struct gn_mailbox *gn_roster_take(struct gn_roster *r) {
  struct gn_mailbox *m;
  do {
    m = r->first;
    if (m)
      unmark(r, m);
  } while (m && !m->head);
  return m;
}
