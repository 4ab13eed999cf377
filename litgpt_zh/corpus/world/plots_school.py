"""Plots of skill and courage: races, a stage, a craft to learn."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


def _race_track(w: World) -> None:
    """Where the race is run, what kind of race it is, and the prize."""
    w.put(
        "p",
        "草地 草坪 河边 湖边 沙滩 大草原 牧场 山坡 晒谷场"
        if w.animals
        else "操场 草地 公园 广场 跑道 草坪 体育馆 沙滩",
    )
    w.put("a", "赛跑 跑步比赛 长跑比赛" + ("" if w.animals else " 滚铁环比赛 接力赛"))
    w.put("x", "奖牌 奖杯 金牌 奖状 小红花 小旗子 徽章 锦旗 皮球 足球 篮球 花冠")


@plot("骄傲的赛跑")
def proud_race(w: World) -> None:
    """The fastest is too sure of it, and the steady one wins."""
    w.scene(sky="sunny", occasions="运动会 端午 重阳")
    w.hero("h")
    w.friend("f")
    _race_track(w)
    w.flag("转折")
    w.tell(
        "{h}跑得最快，常常[笑话别人|说自己是第一]。",
        "{when}大家说{p.in}要举行{a}，{*idiom:proud@h}。",
        "{h}有点骄傲，听说要举行{a}，[根本不练习|一点也不着急]。",
        "{*idiom:famous@h}，听说要举行{a}，一点也不着急。",
        "<h.proud {a}的第一名一定是我！>",
    )
    w.tell(
        "{f}虽然跑得慢，可是天天[练习|早起练习]。",
        "{*idiom:resolve@f}，每天都去练习。",
        "{f}什么也没说，[每天|天不亮就]{*manner:practise}地练。",
        "{*idiom:practice@f}，从来不[叫苦|偷懒]。",
    )
    w.more(
        "天还没亮，{p.in}就响起了脚步声，那是{f}在练习。",
        "{f}摔倒了，爬起来接着练，膝盖都青了。",
        "{h}躺在树荫下，看着{f}一圈一圈地练，觉得真好笑。",
    )
    w.more("大家都说{f}一定会输，{f}只是笑了笑。", "{h}还笑话{f}：“[别白费力气了|你连我的影子也追不上]。”")
    w.para()
    w.tell(
        "比赛那天，{h}一下子冲到了前面，回头一看，{f}还远远落在后面。",
        "比赛开始了，{*sound:dash}的一声，{h}就跑远了，把{f}甩在后面。",
        "比赛开始了，{*idiom:race@h}，一下子跑到了最前面。",
        "比赛一开始，{h}就[跑在最前面|领先了一大截]。",
    )
    w.tell(
        "{h}心想：还早呢，就[躺在树下睡着了|停下来吃{*food:snack,-drink}]。",
        "{h}停下来跟大家{*action:wave}，还[唱起了歌|跳起了舞]。",
        "{h}得意得东张西望，没看清脚下，摔了一大跤。",
    )
    w.tell(
        "{f}一步也不停，[超过了{h}|第一个到了终点]。",
        "等{h}回过神来，{f}已经[到了终点|举起了{x}]。",
        "{*idiom:win@f}。",
        "只听一片欢呼，{f}第一个冲过了终点。",
    )
    w.tell(
        "{h}{*mood:bashful.very}，[半天说不出话|低下了头]。",
        "<h.sorry 我再也不骄傲了。>",
        "{f}得到了{x}，{h}走过去，红着脸说了声祝贺。",
        "{*idiom:shame@h}。",
        "从此，{h}也和{f}一起天天练习。",
    )
    w.more(
        "比赛结束了，{h}和{f}坐在地上，一起喝{*food:drink,cookable}。",
        "回家的路上，大家还在说着这场比赛。",
        "{h}对{f}说：“明年我们再比一次！”",
    )
    w.moral("pride", probability=0.4)
    w.sum(
        "{h}骄傲大意，在{a}中输给了坚持不懈的{f}。",
        "{f}天天练习，在{a}中赢了骄傲的{h}。",
        "{h}骄傲大意，在比赛中输给了坚持不懈的{f}。",
    )


@plot("赛跑")
def race(w: World) -> None:
    """The winner to be stops to help the one who has fallen."""
    w.scene(sky="sunny", occasions="运动会 端午 重阳")
    w.hero("h")
    w.friend("f")
    _race_track(w)
    w.tell(
        "{when}{p.in}举行{a}，{h}已经[盼了很久|练了整整一个月]。",
        "{when}{h}{*manner:keen}地报名参加{a}，很想得到{x}。",
        "{a}的日子到了，{*idiom:confident@h}。",
        "{a}的日子到了，大家{*action:root}，好不热闹。",
        "{a}开始了，{h}跑在最前面，{f}紧紧跟在后面。",
        "{a}开始了，{*idiom:crowd@h}，{f}紧紧跟在旁边。",
        "{a}开始了，{h}和{f}跑在最前面。",
        "为了得到{x}，{h}天天练习，终于等到了{a}这一天。",
    )
    w.more(
        "天还没亮，{p.in}就响起了脚步声。",
        "大家你一句我一句，都在猜谁会得第一。",
        "{f}的家里人也来了，站在路边使劲拍手。",
        "跑道两边插着彩旗，被风吹得哗哗响。",
    )
    w.more(
        "听见大家的加油声，{h}{*mood:stirred.very}。",
        "{sky}，看台上坐满了人，[喊声|加油声]响成一片。" if not w.animals else "{sky}，大家都来给{h&f}加油。",
    )
    w.tell(
        "跑到一半，{f}忽然摔倒了，疼得站不起来。",
        "眼看就要到终点，{h}听见身后{*sound:tumble}一声，{f}摔倒了。",
        "跑着跑着，{f}摔了一大跤，{*idiom:hurt}。",
        "忽然，身边的{f}{*action:fall}了，疼得直流眼泪。",
    )
    w.tell(
        "{h}[想也没想|停了一下]，转身跑了回去。",
        "是继续跑，还是去帮忙？{h}马上停了下来。",
        "{h}看看终点，又看看{f}，跑回去[伸出了手|扶起了{f}]。",
        "<h.say 来，我扶你！>",
    )
    w.para()
    side = "肩并着肩" if w.animals else "手拉着手"
    w.tell(
        "{h}扶着{f}，[一步一步|一起]走到了终点。",
        "{*idiom:stumble@f}，{h}扶着{f}走到了终点。",
        "{h}背起{f}，[慢慢|一步一步]地走完了最后一段路。",
        f"{{h&f.ta}}{side}，一起走过了终点线。",
    )
    w.tell(
        "{h}没有得到{x}，可是[全场都为{h}鼓掌|大家的掌声最响]。",
        "没想到，大家把{x}送给了{h}，说{h}才是真正的第一名。",
        "得了第一名的[孩子|选手]走过来，把{x}送给了{h}。",
        "{*idiom:moved@f}，{h}觉得这比{x}还珍贵。",
    )
    w.more(
        "比赛结束了，{h}和{f}坐在地上，一起喝{*food:drink,cookable}。",
        "回家的路上，大家还在说着这场比赛。",
        "{h}对{f}说：“明年我们再比一次！”",
        "{h}把这一天写在日记里，写了满满一页。",
    )
    w.moral("help", "friends", probability=0.35)
    w.sum(
        "{a}的时候，{h}停下来扶起摔倒的{f}，赢得了大家的掌声。",
        "{h}在{a}中放弃第一，帮助了受伤的{f}。",
        "比赛的时候，{h}停下来扶起了摔倒的{f}。",
    )


@plot("上台表演")
def stage(w: World) -> None:
    """Stage fright, and what helps against it."""
    w.scene(season="any", sky="any", day="evening", occasions="元旦 新年 儿童节 国庆 中秋")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    if w.chance(0.6):
        w.pick("x", "thing", "instrument", "-toy")
        w.let("act", "演奏{x}")
    else:
        w.let("act", "{*activity:show}")
    w.put("p", "学校 礼堂 广场 剧院 音乐厅 公园 少年宫 幼儿园") if not w.animals else w.put("p", "森林 草地 广场 树林")
    hint = w.flag("伏笔", 0.35)
    w.put("lucky", "书签 照片 邮票 贺卡 纸条 千纸鹤 明信片 画片 卡片 纽扣 弹珠 手帕 徽章 贴纸 玻璃球 戒指 信")
    w.tell(
        "{p}要开晚会，{h}要上台{act}。",
        "{when}轮到{h}上台{act}了。",
        "{h}练了很久，终于要在台上{act}了。",
        "{h}[第一次|头一回]上台{act}，{*mood:frightened.very}。",
    )
    w.more(
        "为了这一天，{h}已经练了整整一个月。",
        "前面的节目一个接一个，很快就要到{h}了。",
        "{e}一大早就来了，坐在最前面。",
        "{h}在后台走来走去，一遍一遍地念着顺序。",
    )
    if hint:
        w.tell("{e}给了{h}{lucky.one}，说是会带来勇气的宝贝。", "出门前，{e}在{h}口袋里放了一样东西：{lucky.one}。")
    w.more(
        "后台摆着{*thing:instrument.one}和{*thing:instrument.one}，大家忙个不停。",
        "{f}已经演完了，台下的掌声[像雷声一样|响了好久]。",
    )
    w.tell(
        "可是一看见台下那么多眼睛，{h}的腿就[软了|抖了起来]。",
        "灯一亮，{h}的脑子里一片空白，[什么都忘了|站着一动不动]。",
        "{h}心里{*mood:absorbed.very}，腿也抖了起来。",
        "{*idiom:nervous@h}，不敢往台下看。",
        "{h}想装作什么也不怕，可是心里有些{*mood:dread}，直{*action:shake}。",
        "{h}的手心全是汗，{*mood:frightened.very}。",
        "{*idiom:scared@h}，[想转身跑掉|什么也想不起来]。",
    )
    w.tell(
        "<h.worry 我不敢，我要回家。>",
        "{h}有点{*trait:timid_stage}，站在那里不敢开始。",
        "台下有谁在{*action:noise}，{h}更紧张了。",
        "台下有谁[小声说了一句话|笑了起来]，{h}的脸更红了。",
        "{h}低着头，眼泪[快要|就要]掉下来了。",
        "{h}张开嘴，却发不出一点声音。",
    )
    w.para()
    if hint:
        w.tell(
            "忽然，{h}摸到了口袋里的{lucky}，[想起了{e}的话|心里一下子安静了]。",
            "{h}把手伸进口袋，紧紧握住{lucky}，心里{*mood:steady}多了。",
        )
    else:
        w.tell(
            "这时，{h}看见{e}在台下[微笑|点头|招手]。",
            "{f}跑上台来，站在{h}身边，轻轻拉住了{h}的手。",
            "{f}在台下带头鼓起掌来。",
            "{h}想起{e}说过：就当台下坐的都是[大白菜|大萝卜]。",
        )
    w.tell(
        "{h}深深吸了一口气，开始{act}，[越来越好|越来越稳]。",
        "{h}定了定神，开始{act}，大家都安静下来。",
        "{*idiom:courage@h}，认真地{act}。",
        "{h}不再害怕，{*idiom:calm@h}，开始{act}。",
        "{h}不再看台下，只想着{act}，一点也没有出错。",
    )
    if w.flag("转折", 0.2):
        w.tell(
            "更想不到的是，{e}说自己当年上台时也[怕得发抖|哭过]呢。",
            "更想不到的是，有人跑上台来，送给{h}{*plant:bouquet.one}。"
            if not w.animals
            else "更想不到的是，大家都要{h}再来一次。",
        )
    w.tell(
        "{*idiom:stage@h}。",
        "{h}向台下{*action:bow}，掌声更响了。",
        "台下响起了{*manner:warm}的掌声，{h}[鞠了一躬|笑了]。",
        "大家{*manner:nonstop}地拍手，{h}高兴极了。",
        "听见台下的掌声，{h}{*mood:stirred.very}。",
        "台下的{*person:watchers}都[站起来|一齐]{*action:cheer}。"
        if not w.animals
        else "台下的伙伴们都一齐{*action:cheer}。",
        "{h}高兴极了，跑下台抱住了{f}。",
        "<h.glad 我做到了！>",
        "{h}{*mood:sure.very}，下次还要上台。",
    )
    w.more(
        "{e}送给{h}{*plant:flower,fragrant.one}，说这是最棒的演出。",
        "回家的路上，{h}还在哼着歌。",
        "{f}说：“下次我们一起上台吧！”",
        "{h}的脸红红的，心里比吃了糖还甜。",
    )
    w.moral("brave", probability=0.35)
    w.sum(
        "{h}上台{act}时很害怕，后来鼓起勇气，得到了掌声。",
        "{h}第一次上台{act}，紧张得不敢开始，最后演得很成功。",
    )


@plot("学本领")
def learn_skill(w: World) -> None:
    """A skill does not come at once; practice, or giving up, decides."""
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.skill("a", "-chore", "-quiet" if w.chance(0.6) else "-loud")
    gives_up = w.flag("坏结局", 0.15)
    w.tell(
        "{when}{h}看见{f}会{a}，[非常|十分]羡慕，也想学。",
        "{h}一直想学{a}，{at}{f}答应教{h}。",
        "{when}{h}看见{f}在{a}，{*manner:inner}下了决心，也要学会。",
        "{when}{e}开始教{h}{a}。",
        "{h}什么都[学得快|爱学]，就是不会{a}。",
        "看着{f}{a}的样子，{h}羡慕极了，决定也要学会。",
    )
    w.tell(
        "第一次，{h}[手忙脚乱|慌慌张张]，[闹了个大笑话|什么也没做成]。",
        "{h}觉得自己太{*trait:clumsy}了，怎么也学不会。",
        "{*idiom:fall@h}，大家都笑了。" if w.slot("a").has("sport") else "{h}越着急越出错，大家都笑了。",
        "可是{a}比{h}想的难多了，[试了又试|一连试了三次]都没有成功。",
        "{h}学了一[会儿|上午]，还是总出错，{*mood:failing.very}。",
        "谁知一开始，{h}就出了好多错，大家都笑了。",
    )
    w.tell(
        "<h.sad 太难了，我学不会。>",
        "{*idiom:fail@h}。",
        "{h}{*mood:impatient.very}，真想不学了。",
        "{h}忍不住{*action:sad}，[躲到了一边|坐在地上不起来]。",
    )
    w.more(
        "{e}说，学什么都不容易，要有耐心。",
        "{h}偷偷练了一个晚上，还是没有一点进步。",
        "旁边的伙伴们看着{h}，有的笑，有的摇头。",
        "{h}想起自己第一次学走路，也摔过好多跤。",
    )
    w.para()
    if gives_up:
        w.tell(
            "{e}劝{h}再试一次，{h}却[摇摇头走了|不肯听]。",
            "{h}把东西一扔，跑去{*activity:games}了。",
            "<e.soft 再试一次吧。><h.answer 不学了，太累了！>",
        )
        w.more("过了几天，{h}又想学别的，可是一遇到困难就停了下来。", "{f}每天还在{a}，一天比一天好。")
        w.tell(
            "[一年|很久]以后，{f}得了{*thing:prizes.one}，{h}只能在台下看着，{*mood:regretful.very}。",
            "后来{f}教会了好多小伙伴，只有{h}还是不会，后悔也晚了。",
            "到了表演那天，伙伴们都会{a}，只有{h}站在一边。",
        )
        w.moral("practice", probability=0.5)
        w.sum(
            "{h}学{a}遇到困难就放弃了，后来非常后悔。",
            "{h}想学{a}，可是没有坚持，最后什么也没学会。",
        )
        return
    w.tell(
        "<e.soft 别急，我当年学了[一个月|好久]呢。>",
        "{f}说：“一点一点来，我陪你练。”",
        "{e}指着[墙角|树上]的{*animal:insect,climbs}说：“看，它掉下来又爬上去，从不放弃。”",
        "{e}{*manner:kind}地教{h}从头练起。",
        "看着{f}一遍遍地{a}，{*idiom:itch@h}，又练了起来。",
        "{f}把自己的[办法|窍门]告诉了{h}。",
        "{h}看见一只{*animal:insect,climbs}掉下来又往上爬，[脸红了|站了起来]。",
    )
    w.some(
        "{*idiom:practice@h}。",
        "{h}每天都{*manner:practise}地练，[下雨天也不停|连做梦都在练]。",
        "一天，两天，三天，{h}一天也没有停过。",
        "{*idiom:almost@h}，可最后还是坚持了下来。",
        "{h}还把要点写在本子上，天天看一遍。",
    )
    w.tell(
        "[慢慢地|过了些日子]，{h}终于学会了{a}。",
        "[有一天|这天早上]，{h}忽然成功了！",
        "[功夫不负有心人|练着练着]，{h}真的学会了{a}。",
        "{*idiom:success@h}，真的学会了{a}。",
        "一个月过去了，{h}{a}的样子[像模像样|谁见了都夸]。",
    )
    w.more(
        "大家都围过来看，[拍手叫好|一个劲地夸]，{h}的脸红了。",
        "{e}送给{h}{*thing:gift,losable,-treasure.one}作奖励。",
    )
    w.tell(
        "<h.glad 我会了，我真的会了！>",
        "{*idiom:glad@h}。",
        "{h}忍不住{*action:glad}，{e}也笑了。",
        "{*idiom:skill@h}，谁看了都叫好。",
        "大家都夸{h}，{*idiom:honour@h}。",
        "{*idiom:learnt@h}。",
        "从此，{*idiom:learn_from@h}，学会了更多本领。",
        "{f}[第一个|大声]为{h}叫好。",
        "后来，{h}还教会了别的小伙伴{a}。",
    )
    w.more(
        "{h}还把自己的办法写下来，送给了{f}。",
        "晚上，{h}高兴得睡不着，一遍一遍地回想。",
        "{e}端来{*food:cake.one}，大家一起庆祝。",
        "从此，{h}遇到什么难事，都会再试一次。",
    )
    w.moral("practice", probability=0.35)
    w.sum(
        "{h}学{a}，开始总是失败，后来坚持练习，终于学会了。",
        "{h}想学会{a}，在大家的鼓励下坚持练习，最后成功了。",
    )
