"""What the long form adds around any plot: a few words about the hero before, a quiet look back after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from litgpt_zh.corpus.world.lexicon import Entry
from litgpt_zh.corpus.world.scene import Scene

__all__ = ["epilogue", "prologue"]

_BOTH = (
    "{h}是个{*trait:lively}的小家伙，最喜欢{*activity:games}，也喜欢{*activity:pastime}。",
    "{h}有三样宝贝：{*thing:toy,losable.one}、{*thing:keepsake,losable.one}和{*thing:shiny,losable.one}。",
    "{h}每天{*activity:daily}以后，都要{*activity:plan}。",
    "{h}家里种着{*plant:planted.one}，还养着几盆{*plant:flower,pot.a}。",
    "{h}常常梦见{*place:journey}，也常常梦见{*nature:dreamt}。",
    "{h}的屋里有{*thing:furniture.onea}，上面放着{*thing:toy,losable,-tool.one}。",
    "{h}在本子上画过{*place:told}，也画过{*place:told}。",
    "{*idiom:smile@h}，谁见了都喜欢。",
    "见到{*adj:needy}的小动物，{h}总要停下来帮一帮。",
    "{h}的小屋里挂着{*thing:light.onea}，桌上放着{*thing:container,losable.onea}。",
    "{h}最爱吃{*food:snack,-drink.a}，最爱喝{*food:soup.a}。",
    "{h}最{*adj:dear}的玩具是{*thing:toy,losable.one}。",
    "{h}的{*thing:toy,fixable}坏过一次，{*adj:mended}以后一直好好的。",
    "{h}会{*activity:art}，还会{*activity:all,skill}。",
    "{h}夏天喜欢{*activity:all,summer,outdoor}，冬天喜欢{*activity:all,winter,outdoor}。",
    "{h}盼着春天{*activity:all,spring}，秋天{*activity:all,autumn}。",
    "{h}常常和大家一起{*activity:all,group,play}。",
    "{h}是个{*trait:lively}的小家伙，一高兴就{*action:glad}，一着急就{*action:puzzled}。",
    "{h}玩起来总是{*action:romp}，累了就{*action:rest}。",
    "{h}的床头放着{*thing:toy,losable,-tool.onea}，[每天晚上都抱着|谁也不许碰]。",
    "要说{h}最爱的颜色，一定是{*adj:hue}；要说{h}最爱的味道，一定是{*adj:flavour}的。",
    "{h}爱{*activity:play}，爱{*food=_fd.eat}{_fd}，就是不爱{*activity:hygiene}。",
    "{h}家门前有{*plant:tree,climbable.onea}，窗台上种着一盆{*plant:flower,pot.a}。",
    "{h}家的地里长着{*plant:crop.onea}，墙边爬着{*plant:vine.onea}。",
    "{h}家旁边有一片{*place:woods.a}，{*sound:wind}的风声常常从那里传来。",
    "{h}最怕{*adj:place-dark}的{*place:gloom}，也怕{*adj:frightful}的{*animal:fierce}。",
    "{h}一直想去{*place:journey.a}看看。",
    "一听见{*sound:brook}的水声，{h}就觉得{*mood:calm.very}。",
    "{h}笑起来{*sound:laugh}的，谁听了都高兴。",
    "只要听见{*sound:knock}的敲门声，{h}总是第一个跑去开门。",
    "{h}有一个本子，上面画着{*nature:drawn}，画着{*plant}，还画着{*animal}。",
    "{h}见了谁都{*manner:kind}地打招呼，做起事来又很{*manner:steady}。",
    "{h}写字的时候，总是{*manner:write}地写。",
    "不管是{*adj:weather}的天气，还是{*adj:weather}的天气，{h}都要出门走一走。",
    "{h}是个{h.look}的小家伙，谁见了都喜欢。",
    "{h}是个{h.look}的小家伙，[一刻也闲不住|走到哪儿都带着笑]。",
    "{h}睡觉爱{*action:sleep}，醒了爱{*action:stretch}。",
    "{h}会学小动物{*action:call}，还会学大人{*action:voice}。",
    "{h}一刻也闲不住，最怕{*action:still}。",
    "{h}坐不住，一会儿{*action:gesture}，一会儿{*action:gesture}，一会儿又{*action:move}。",
    "{*idiom:good@h}，也爱{*activity:pastime}。",
    "{*idiom:good@h}。",
    "{*idiom:clever@h}。",
    "{*idiom:leisure@h}，每天都要{*activity:solo}。",
    "{*idiom:nosy@h}，什么都想知道。",
    "{*idiom:family@h}。",
    "{h}有个好朋友，{*idiom:strong}，{duo}常常一起{*activity:games}。",
    "{h}从小就爱听故事，最佩服故事里的英雄，说他们{*idiom:bold}。",
    "{h}有{*thing:warm,clothes.onea}，天一冷就离不开它。",
    "{h}家门口挂着{*thing:hung.onea}，[天一黑就亮起来|夜里亮亮的]。",
    "{h}有{*nature:found.onea}，是从{*place:shore.in}捡来的。",
    "{h}在本子上画过{*thing:big.one}，也画过{*thing:big.one}。",
    "{h}不怕{*nature:harsh}，也不怕{*nature:harsh}，一年到头都爱往外跑。",
    "{h}喜欢{*nature:mild}，也喜欢{*nature:mild}，一有空就到外面去。",
    "{h}看见{*nature:tiny.one}，也能看上老半天。",
    "{h}家门前种着{*plant:planted.one}，{h}天天给它浇水。",
    "{h}刚学会{*activity:learnt}，觉得自己长大了。",
    "{h}最盼望{*activity:longed}，天天掰着手指头算日子。",
    "[{h}最爱{*activity:slumber}，每天都要叫好几遍才起来|{h}坐着也爱{*activity:drowse}，叫好几遍才听见]。",
    "{h}最爱听大人讲{*place:told.in}的故事，听了还要再听。",
    "{*idiom:fussy@h}，一点小事也要叫起来。",
    "{h}爱跑步，每次都{*idiom:topped}。",
)
_CHILD = (
    "{h.one}住在{*place:town}附近，{*idiom:good}。",
    "{*place:yard.in}常常能看见{h.one}，[手里总拿着|身边总带着]{*thing:losable.one}。",
    "{h}和{*person:family,-child}住在一起，家里还养着{*animal:pet.onea}。",
    "{h}的{*person:family,-child}认识{*person:job.onea}，常常给{h}讲那些有趣的事。",
    "大家都认识{h}，因为{h}总是在外面{*action:romp}。",
    "{h}是个{*trait:lively}的{h.kid}，将来想当{*person:wished.one}。",
    "隔壁住着{*person:elder,neighbor.onea}，常常给{h}讲故事。",
    "{h}最喜欢{*person:teacher.a}，也最喜欢去{*place:school_fun}。",
    "{h}的邻居是{*person:artist.onea}，[常常教{h}唱歌|大家都认识]。",
    "{h}认识{*person:athlete.onea}，自己也爱{*activity:all,sport}。",
    "{h}最爱听{*person:family,elder.a}讲故事。",
    "{h}在班里是{*person:pupil}，[做事很认真|大家都喜欢{h}]。",
    "{h}的好朋友是{*person:child,-family.onea}，{duo}常常一起{*activity:games}。",
    "{h}家附近就是{*adj:place-shop}的{*place:shop,indoor}，每次路过，{h}都要看一看。",
    "{h}最喜欢去{*place:fun}，[一去就不想回家|总也玩不够]。",
    "{h}认识{*person:shop.onea}，每次见了都要问一声好。",
    "{h}家的院子里放着{*thing:yard.one}和{*thing:yard.one}。",
    "{h}家隔壁住着一位木匠，屋里有{*thing:workshop.one}，还有{*thing:workshop.one}。",
    "{h}家里有{*thing:machine.one}，平时谁也不许乱动。",
    "{h}家附近的店门口挂着{*thing:sign.one}，老远就能看见。",
    "{h}的教室里有{*thing:classroom.one}，是大家最爱惜的东西。",
    "{h}家里挂着{*thing:picture.one}，客人来了都要看一看。",
    "{h}家的架子上摆着{*thing:display.one}，谁也不许碰。",
    "{h}常常看{*person:family,-child}修东西，今天修{*thing:broken_down}，明天修{*thing:broken_down}。",
    "{h}的{*person:family,-child}爱锻炼，家里放着{*thing:heavy.one}。",
    "{h}长大以后想去{*activity:someday}，天天盼着自己快点长大。",
    "{h}没事的时候，喜欢坐在{*place:nook.in}想心事。",
    "{h}常去{*place:town}，也常去{*place:town}。",
    "上学路上，{h}要经过{*place:town}和{*place:roads}。",
    "{h}看书的时候最{*mood:quiet}，{*activity:class}的时候最{*mood:glad}。",
)
_ANIMAL = (
    "很久以前，{*place:wild.in}住着{h.one}，[整天|总爱]{*action:romp}。",
    "{h}最喜欢去{*place:stroll}玩，总也玩不够。",
    "在{*plant:tree,climbable.a}旁边，住着{h.one}。",
    "{*place:wild.in}有许多动物：有{*animal:wild,small,gentle,-bird}，有{*animal:bird,flies}，还有{h.one}。",
    "{h.one}住在{*place:wild.in}，邻居是{*animal:wild.onea}和{*animal:farm.onea}。",
    "{*idiom:good@h}，家就在{*place:wild.in}。",
    "{h}住在{*place:stroll}旁边，一高兴就{*action:glad}。",
    "{h}住在一片{*place:woods.a}旁边，一出门就能看见{*animal:bird.onea}。",
)
_EVENING = (
    "那天晚上，{h}躺在床上，把这一天的事又想了一遍。",
    "天黑了，{h}{*food:cooked=fe.eat}着{fe}，想起白天的事，很久没有说话。",
    "星星出来了，{h}坐在窗前，听着外面{*sound:wind}的风声。",
    "晚上，{h}在本子上画了{*plant:flower.one}，又画了{*animal:small.one}，这才去睡觉。",
    "吃过晚饭，{h}{*manner:sit}地坐了一会儿，想着今天发生的事。",
    "夜里，{h}做了一个梦，梦见自己在{*place:elsewhere.in}{*action:romp}。",
    "那天晚上，{*idiom:asleep@h}，梦里还在想这一天的事。",
    "夜深了，{*idiom:sleepy@h}，可还是舍不得睡，想着这一天的事。",
    "睡觉以前，{h}洗了脸，钻进被窝，想着这一天的事。",
    "月亮升起来了，{h}{*manner:asleep}地睡着了，枕头旁边放着{*thing:toy,losable,-vehicle,-tool}。",
)
#: Told only where the plot has a food or a thing to be reminded by.
RECALLED = "后来，每次{_again.meet}{_again}，{h}都会想起这件事。"
_MORNING = (
    "第二天，{h}{*food:cooked=fe.eat}着{fe}，又把这件事想了一遍。",
    "第二天，{*idiom:wake@h}，又想起了昨天的事。",
    "第二天早上，窗外传来{*sound:dawn}的叫声，新的一天开始了。",
    "这件事，{h}过了很久还记得清清楚楚。",
    "后来，{h}常常把这件事讲给别人听。",
    RECALLED,
    "很久以后，{h}还记得那一天{*sound:wind}的风声。",
    "有时候，{h}一边{*activity:home}，一边还会想起这件事来。",
    "太阳出来的时候，{h}推开窗，深深吸了一口气。",
)
#: For the heroes of the water and the grass, who have no windows, beds or dishes.
_SMALL = (
    "这件事，{h}过了很久还记得清清楚楚。",
    "后来，{h}常常把这件事讲给别人听。",
    "那天夜里，{h}把这一天的事又想了一遍，才[慢慢|甜甜地]睡着。",
    "有时候，{h}一想起这件事，还会忍不住笑出声来。",
    "很久以后，{h}还常常想起那一天。",
)


class Frame(Protocol):
    """What the frame needs of the world around which it is told."""

    folk: Sequence[Entry]

    @property
    def animals(self) -> bool: ...

    @property
    def full(self) -> bool: ...

    @property
    def now(self) -> Scene: ...

    @property
    def text(self) -> str: ...

    def chance(self, probability: float) -> bool:
        """True with the given probability."""

    def recall(self, key: str, told: str) -> bool:
        """Fill slot ``key`` with a food or a thing of the plot, if it has one."""

    def tell(self, *templates: str) -> None:
        """Tell one beat in one of the given ways."""


def prologue(world: Frame) -> None:
    """Tell a sentence or two about the hero."""
    own = _ANIMAL if world.animals else _CHILD
    if world.full and world.chance(0.7):
        world.tell(*own)
        world.tell(*_BOTH)
    else:
        world.tell(*(own if world.chance(0.25) else _BOTH))


def epilogue(world: Frame) -> None:
    """Tell how the hero looks back; it fits a good and a bad end alike."""
    evening = world.now.day not in ("night", "evening") and not any(
        word in world.text for word in ("晚上", "夜", "天黑")
    )
    lines: tuple[str, ...] = _EVENING + _MORNING if evening else _MORNING
    if world.folk:
        lines = _SMALL
    elif not world.recall("_again", world.text):
        lines = tuple(line for line in lines if line != RECALLED)
    if "第二天" in world.text:
        lines = tuple(line for line in lines if "第二天" not in line)
    world.tell(*lines)
