#include "relay/place.h"

#include "relay/schedule.h"

bool place_lend(struct schedule *schedule, struct place *place)
{
    if (place->state != PLACE_HELD)
        return true;
    if (schedule->lent_count >= schedule->lent_max)
        return false;
    place->state = PLACE_LENT;
    schedule->lent_count++;
    schedule_run_soon(schedule);
    return true;
}

/* Those that have waited for longer come first, also before deliveries that have not begun. */
bool place_claim(struct schedule *schedule, struct place *place)
{
    if (place->state == PLACE_HELD)
        return true;
    if (list_is_empty(&schedule->places_wanted) && schedule_has_room(schedule)) {
        place_drop(schedule, place);
        return true;
    }
    if (place->state == PLACE_LENT)
        list_add_last(&schedule->places_wanted, &place->node);
    place->state = PLACE_WANTED;
    schedule_run_soon(schedule);
    return false;
}

void place_drop(struct schedule *schedule, struct place *place)
{
    if (place->state == PLACE_WANTED)
        list_remove(&schedule->places_wanted, &place->node);
    if (place->state != PLACE_HELD)
        schedule->lent_count--;
    place->state = PLACE_HELD;
}

struct place *place_give(struct schedule *schedule)
{
    struct list_node *node = list_first(&schedule->places_wanted);
    if (node == NULL)
        return NULL;
    struct place *place = LIST_OF(node, struct place, node);
    place_drop(schedule, place);
    return place;
}
